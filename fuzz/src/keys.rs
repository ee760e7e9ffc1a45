//! Keys, web addresses, names: whatever people write, the same text gives the same keys, and each of these gives itself.

use std::{collections::BTreeSet, sync::LazyLock};

use suppressd::{
    derive::{self, ComparableName, Derived, Likeness, Rules},
    lookup,
    model::{
        key::Key,
        page::{Role, Value, Values},
        verdict::Company,
    },
};

/// The rules that ship: to read the lists takes longer than a check.
static RULES: LazyLock<Rules> = LazyLock::new(Rules::default);

/// No key has more bytes.
const KEY_BYTES_MAX: usize = 512;

/// Reads a text as somebody types it, and its parts between zeros as the values of a page.
pub fn keys(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let typed = derive::text_candidates(&text, &RULES);
    assert_eq!(derive::text_candidates(&text, &RULES), typed, "the same in, the same out");
    hold(&typed);

    let listed = lookup::keys::keys(&[text.to_string()], &Company::default(), &RULES);
    let listed: Vec<&Key> = listed.keys.iter().map(|listed| &listed.key).collect();
    let given: Vec<&Key> = typed.candidates.iter().map(|candidate| &candidate.key).collect();
    assert_eq!(listed, given, "what is listed is what a lookup asks for");

    let mut values = Values::default();
    for (role, part) in Role::ALL.into_iter().zip(text.split('\0')) {
        values.set(role, Value::text(part));
    }
    claims(&values);
    let company = Company { key: Some(text.to_string()), ..Company::default() };
    assert_eq!(derive::company_candidates(&company, &RULES).candidates, typed.candidates, "asked and typed");
    names(&text);
}

/// Checks what the values of a page give.
pub(super) fn claims(values: &Values) {
    let derived = derive::values_candidates(values, &RULES);
    assert_eq!(derive::values_candidates(values, &RULES), derived, "the same in, the same out");
    hold(&derived);
}

/// Checks keys: each once, bounded, in order of trust; and read as text, each gives itself and nothing that its own text
/// did not give.
fn hold(derived: &Derived) {
    let given: Vec<&Key> = derived.candidates.iter().map(|candidate| &candidate.key).collect();
    let all: BTreeSet<&Key> = given.iter().copied().chain(&derived.possible_names).collect();
    assert_eq!(given.iter().collect::<BTreeSet<_>>().len(), given.len(), "each once: {derived:?}");
    assert!(given.is_sorted_by_key(|key| std::cmp::Reverse(key.prefix().trust())), "in order: {derived:?}");
    for key in &all {
        assert!(key.as_str().len() <= KEY_BYTES_MAX, "{key}");
        assert!(!key.as_str().contains(|c: char| c.is_control() || ",;".contains(c)), "{key:?}");
        assert_eq!(Key::try_from(key.to_string()).as_ref(), Ok(*key));
        let again = derive::text_candidates(key.as_str(), &RULES);
        assert!(again.unused.is_empty(), "{key} is of no use: {again:?}");
        assert!(again.candidates.iter().any(|candidate| candidate.key == **key), "{key} gives {again:?}");
        for candidate in &again.candidates {
            assert!(all.contains(&candidate.key), "{key} gives {}, which is not among {all:?}", candidate.key);
        }
    }
}

/// Checks names that are compared: a comparable name is its own, and it does not matter who is compared with whom.
fn names(text: &str) {
    let mut names = text.split('\0').filter_map(ComparableName::of);
    let (Some(one), other) = (names.next(), names.next()) else { return };
    assert_eq!(ComparableName::of(one.as_str()).as_ref(), Some(&one));
    let Some(other) = other else { return };
    let (one, other) = (Likeness::new(&one), Likeness::new(&other));
    let (there, back) = (one.to(&other), other.to(&one));
    assert!((0.0..=1.0).contains(&there) && (there - back).abs() < 1e-9, "{there} and {back}");
}
