//! Reads which paths of the crate a text names.

use std::collections::BTreeSet;

/// Lists the paths behind `crate::`, with groups taken apart: `crate::{a, b::{self, C}}` names `a`, `b` and `b::C`.
pub(crate) fn paths(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for rest in text.split("crate::").skip(1) {
        read("", rest, &mut found);
    }
    found
}

/// Reads one path, or all paths of a group, and returns what stands behind.
fn read<'a>(before: &str, text: &'a str, found: &mut BTreeSet<String>) -> &'a str {
    let end = text.find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | ':'))).unwrap_or(text.len());
    let (words, behind) = text.split_at(end);
    let path = format!("{before}{words}");
    let Some(mut rest) = behind.strip_prefix('{').filter(|_| path.is_empty() || path.ends_with("::")) else {
        let path = path.strip_suffix("::self").unwrap_or(&path).trim_end_matches(':');
        if !words.is_empty() && !path.is_empty() {
            found.insert(path.to_owned());
        }
        return behind;
    };
    loop {
        rest = read(&path, rest.trim_start(), found);
        let Some((at, mark)) = rest.char_indices().find(|(_, c)| matches!(c, ',' | '}')) else { return "" };
        rest = rest.get(at + 1..).unwrap_or_default();
        if mark == '}' {
            return rest;
        }
    }
}

#[test]
fn groups_are_taken_apart() {
    let check = |text: &str, expected: &[&str]| {
        assert_eq!(paths(text).iter().map(String::as_str).collect::<Vec<_>>(), expected, "{text}");
    };
    check(
        "use crate::{\n    a::b::C,\n    d::{self, E, f::{g, h as i}},\n    J,\n};\nuse std::{k, l};",
        &["J", "a::b::C", "d", "d::E", "d::f::g", "d::f::h"],
    );
    check("pub use crate::a::{b, *};\nfn f(g: crate::h::I) -> Self { crate::j::k(g) }", &["a::b", "h::I", "j::k"]);
    check("pub(crate) fn f() {}", &[]);
}
