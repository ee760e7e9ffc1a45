//! What was understood of a table: which columns were taken for what, and which were not used.

use std::fmt;

use crate::cli::{check::bulk::columns::Field, output::short};

/// So many names of each kind are told.
const TOLD_MAX: usize = 30;

/// What was understood of a table. As text, one line for people.
#[derive(Debug, Clone, Default)]
pub struct Understood {
    what: &'static str,
    taken: Vec<(Field, String)>,
    unused: Vec<String>,
}

impl Understood {
    /// Takes the names of `what`, each with what it was taken for.
    pub(super) fn new<'a>(what: &'static str, names: impl Iterator<Item = (&'a str, Option<Field>)>) -> Self {
        let mut understood = Self { what, ..Self::default() };
        for (name, field) in names {
            let name = short(name);
            match field {
                Some(field) => understood.taken.push((field, name)),
                None => understood.unused.push(name),
            }
        }
        understood
    }

    /// Returns whether rows can be asked by name alone: a `clear` then says little.
    pub fn is_names_alone(&self) -> bool {
        !self.taken.is_empty() && self.taken.iter().all(|(field, _)| field.is_name_or_place())
    }
}

impl fmt::Display for Understood {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, taken, unused } = self;
        write!(f, "{what}: ")?;
        let taken: Vec<String> = taken.iter().map(|(field, name)| format!("{} = \"{name}\"", field.name())).collect();
        list(f, &taken)?;
        if unused.is_empty() {
            return Ok(());
        }
        f.write_str("; not used: ")?;
        let unused: Vec<String> = unused.iter().map(|name| format!("\"{name}\"")).collect();
        list(f, &unused)
    }
}

fn list(f: &mut fmt::Formatter<'_>, all: &[String]) -> fmt::Result {
    let told = all.get(..TOLD_MAX).unwrap_or(all);
    f.write_str(if all.is_empty() { "none" } else { "" })?;
    f.write_str(&told.join(", "))?;
    match all.len() - told.len() {
        0 => Ok(()),
        more => write!(f, " and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::check::bulk::columns::Meaning;

    fn understood(names: &[&str]) -> Understood {
        Understood::new("columns", names.iter().map(|name| (*name, Meaning::default().of(name))))
    }

    #[test]
    fn it_is_told_in_one_line_of_bounded_length() {
        for (names, told) in [
            (&["Company", "Company URL"][..], "columns: name = \"Company\", website = \"Company URL\""),
            (&["E-mail\n", "Site", "id"], "columns: website = \"Site\"; not used: \"E-mail\u{fffd}\", \"id\""),
            (&["id"], "columns: none; not used: \"id\""),
        ] {
            assert_eq!(understood(names).to_string(), told);
        }
        assert!(understood(&["id"; 40]).to_string().ends_with("\"id\" and 10 more"));
    }

    #[test]
    fn names_alone_are_told_apart() {
        assert!(understood(&["Company", "City", "id"]).is_names_alone());
        assert!(!understood(&["Company", "URL"]).is_names_alone());
        assert!(!understood(&["id"]).is_names_alone());
    }
}
