//! Finds each setting: flags beat the environment, the environment beats the file, the file beats the default.

use std::collections::BTreeMap;

use toml::Value;

use crate::config::{
    file::ConfigFile,
    problem::{Fault, Origin, Problem, quote},
    secret::Secret,
    settings::{self, Kind, Setting},
};

/// The settings that flags gave, by their keys in the file; `config` is the path of the file itself.
pub type Flags = BTreeMap<&'static str, String>;

/// The places where settings are found, and what was found there.
pub(crate) struct Layers<'a, E> {
    outside: Outside<'a, E>,
    pub(crate) file: ConfigFile,
    problems: Vec<Problem>,
    pub(crate) found: Found,
}

/// The places that beat the file.
struct Outside<'a, E> {
    flags: &'a Flags,
    environment: &'a E,
}

/// Every setting as it was found, to be shown.
#[derive(Debug, Clone, Default)]
pub(crate) struct Found {
    pub(crate) values: BTreeMap<&'static str, (Value, Origin)>,
    pub(crate) secrets: BTreeMap<&'static str, Secret>,
}

/// A value is missing because a problem with it has been noted.
#[derive(Debug)]
pub(crate) struct Noted;

impl<'a, E: Fn(&str) -> Option<String>> Layers<'a, E> {
    /// Opens the settings file, where there is one, and looks through it for what does not belong there.
    pub(crate) fn open(flags: &'a Flags, environment: &'a E) -> Self {
        let outside = Outside { flags, environment };
        let mut problems = Vec::new();
        let file = ConfigFile::open(outside.get(&settings::CONFIG), &mut problems);
        problems.extend(file.strays());
        Self { outside, file, problems, found: Found::default() }
    }

    /// Reads a text that has a default.
    pub(crate) fn text<T>(&mut self, setting: &Setting, parse: impl Fn(&str) -> Result<T, Fault>) -> Result<T, Noted> {
        self.optional_text(setting, parse)?.ok_or(Noted)
    }

    /// Reads a text that may be unset.
    pub(crate) fn optional_text<T>(
        &mut self,
        setting: &Setting,
        parse: impl Fn(&str) -> Result<T, Fault>,
    ) -> Result<Option<T>, Noted> {
        self.read(setting, |value| {
            let text = text_of(value)?;
            Ok((parse(&text)?, Value::String(text)))
        })
    }

    /// Reads a whole number that has a default.
    pub(crate) fn number<T: TryFrom<u64>>(&mut self, setting: &Setting) -> Result<T, Noted> {
        self.optional_number(setting)?.ok_or(Noted)
    }

    /// Reads a whole number that may be unset, within the bounds of its setting.
    pub(crate) fn optional_number<T: TryFrom<u64>>(&mut self, setting: &Setting) -> Result<Option<T>, Noted> {
        self.read(setting, |value| {
            let text = text_of(value)?;
            let number = number_within(setting.kind, &text)?;
            Ok((number, text.trim().parse().map_or(Value::String(text), Value::Integer)))
        })
    }

    /// Reads a list.
    pub(crate) fn list(
        &mut self,
        setting: &Setting,
        parse: impl Fn(&str) -> Result<String, Fault>,
    ) -> Result<Vec<String>, Noted> {
        let list = self.read(setting, |value| {
            let list = list_of(value)?.iter().map(|text| parse(text)).collect::<Result<Vec<_>, _>>()?;
            let shown = list.iter().cloned().map(Value::String).collect();
            Ok((list, Value::Array(shown)))
        })?;
        Ok(list.unwrap_or_default())
    }

    /// Finds a secret. That it is missing or unusable is not a problem yet.
    pub(crate) fn secret(&mut self, setting: &Setting) -> Secret {
        let secret = self.secret_named(setting.variables);
        self.found.secrets.insert(setting.key, secret.clone());
        secret
    }

    /// Finds the secret of these names.
    pub(crate) fn secret_named(&self, names: &[&str]) -> Secret {
        Secret::find(names, |name| self.outside.variable(name))
    }

    /// Shows what an unset setting amounts to.
    pub(crate) fn show_default(&mut self, setting: &Setting, value: impl Into<Value>) {
        self.found.values.entry(setting.key).or_insert_with(|| (value.into(), Origin::Default));
    }

    /// Notes that a setting does not fit the others.
    pub(crate) fn refuse(&mut self, setting: &Setting, fault: Fault) -> Noted {
        self.note(self.found.problem(setting, fault))
    }

    /// Notes a problem.
    pub(crate) fn note(&mut self, problem: Problem) -> Noted {
        self.problems.push(problem);
        Noted
    }

    /// Gives back all that was noted.
    pub(crate) fn into_problems(self) -> Vec<Problem> {
        self.problems
    }

    fn read<T>(
        &mut self,
        setting: &Setting,
        parse: impl FnOnce(&Value) -> Result<(T, Value), Fault>,
    ) -> Result<Option<T>, Noted> {
        let Some((value, origin)) = self.raw(setting) else { return Ok(None) };
        match parse(&value) {
            Ok((parsed, shown)) => {
                self.found.values.insert(setting.key, (shown, origin));
                Ok(Some(parsed))
            }
            Err(fault) => Err(self.note(Problem::new(origin.place(setting.key), fault))),
        }
    }

    fn raw(&self, setting: &Setting) -> Option<(Value, Origin)> {
        let outside = || self.outside.get(setting).map(|(text, origin)| (Value::String(text), origin));
        let file = || Some((self.file.get(setting.key)?.clone(), Origin::File(self.file.path.clone())));
        let default = || Some((Value::String(setting.default?.to_owned()), Origin::Default));
        outside().or_else(file).or_else(default)
    }
}

impl<E: Fn(&str) -> Option<String>> Outside<'_, E> {
    fn get(&self, setting: &Setting) -> Option<(String, Origin)> {
        if let Some(text) = self.flags.get(setting.key) {
            return Some((text.clone(), Origin::Flag(setting.flag.unwrap_or(setting.key))));
        }
        setting.variables.iter().find_map(|name| Some((self.variable(name)?, Origin::Variable((*name).to_owned()))))
    }

    /// Returns a variable that is not empty: a line `NAME=` in an environment file sets nothing.
    fn variable(&self, name: &str) -> Option<String> {
        (self.environment)(name).filter(|text| !text.trim().is_empty())
    }
}

impl Found {
    /// Says that a setting, good in itself, does not do for what is asked.
    pub(crate) fn problem(&self, setting: &Setting, fault: Fault) -> Problem {
        let origin = self.values.get(setting.key).map_or(&Origin::Default, |(_, origin)| origin);
        Problem::new(origin.place(setting.key), fault)
    }
}

/// Takes a text, or a number where somebody left out the quotes.
pub(crate) fn text_of(value: &Value) -> Result<String, Fault> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Integer(number) => Ok(number.to_string()),
        other => Err(Fault::new(format!("has the type {}", other.type_str()), "write one value, in quotes")),
    }
}

/// Takes an array of texts, or one text with commas.
pub(crate) fn list_of(value: &Value) -> Result<Vec<String>, Fault> {
    match value {
        Value::String(text) => {
            Ok(text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect())
        }
        Value::Array(items) => items.iter().map(text_of).collect(),
        other => {
            Err(Fault::new(format!("has the type {}", other.type_str()), r#"write a list, such as ["one", "two"]"#))
        }
    }
}

fn number_within<T: TryFrom<u64>>(kind: Kind, text: &str) -> Result<T, Fault> {
    let (min, max) = kind.bounds();
    let number = text.trim().parse().ok().filter(|number| (min..=max).contains(number));
    number
        .and_then(|number| T::try_from(number).ok())
        .ok_or_else(|| Fault::new(format!("is {}", quote(text)), format!("write a whole number from {min} to {max}")))
}
