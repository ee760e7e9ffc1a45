//! The tree's own rules: who may import whom, and how a file looks.
//!
//! A single crate cannot make the compiler refuse an import between its modules, so this test does.
//! The table is the one of `ARCHITECTURE.md`; a new module gets its place here in the commit that brings it.
//! Inside a module there is no table: its files may import each other, but not in a circle.
#![expect(clippy::unwrap_used, reason = "a tree that cannot be read should fail the test")]

#[path = "tidy/circles.rs"]
mod circles;
#[path = "tidy/imports.rs"]
mod imports;

use std::{collections::BTreeSet, fs, path::Path};

use crate::{circles::circles, imports::paths};

/// The layers of the house, lowest first. Modules of one layer do not import each other.
const HOUSE: &[Layer] = &[
    Layer {
        modules: &["model", "causes", "clock", "duration", "files", "nearest", "lifecycle"],
        may_import: Reach::Only(&[]),
    },
    Layer { modules: &["derive", "config", "metrics"], may_import: Reach::Only(&["model", "files", "nearest"]) },
    Layer {
        modules: &["notion", "store"],
        may_import: Reach::Only(&["model", "clock", "duration", "files", "metrics"]),
    },
    Layer { modules: &["sources"], may_import: Reach::Only(&["model", "causes", "derive", "notion", "store"]) },
    Layer { modules: &["inbox", "cache"], may_import: Reach::Only(&["model", "derive", "store", "clock", "metrics"]) },
    Layer { modules: &["intake", "worker", "sweep", "lookup"], may_import: Reach::LayersBelow },
    Layer { modules: &["http", "mcp", "simulator"], may_import: Reach::LayersBelow },
    Layer { modules: &["app"], may_import: Reach::LayersBelow },
    Layer { modules: &["cli", "library"], may_import: Reach::LayersBelow },
];

/// Files that only declare modules and start the program.
const ROOTS: [&str; 2] = ["lib", "main"];

/// The most lines of code that a file may have above its own tests.
const LINES_MAX: usize = 350;

/// Where the tests of a file begin.
const TESTS: &str = "#[cfg(test)]\nmod tests";

struct Layer {
    modules: &'static [&'static str],
    may_import: Reach,
}

enum Reach {
    Only(&'static [&'static str]),
    LayersBelow,
}

#[test]
fn the_tree_keeps_its_rules() {
    let broken: Vec<String> = tree().iter().flat_map(|(path, text)| violations(path, text)).collect();
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

#[test]
fn files_of_one_folder_do_not_import_each_other_in_a_circle() {
    let found = circles(&tree());
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn the_table_has_every_module_once_and_points_downwards() {
    let mut below = BTreeSet::new();
    for layer in HOUSE {
        if let Reach::Only(modules) = layer.may_import {
            for module in modules {
                assert!(below.contains(module), "`{module}` does not stand below {:?}", layer.modules);
            }
        }
        for module in layer.modules {
            assert!(below.insert(*module), "`{module}` has two places");
        }
    }
}

#[test]
fn a_file_that_keeps_the_rules_passes() {
    let text =
        "//! Asks.\nuse crate::{clock::Clock, model::{key::Key, page::{Page, Role}}, store};\nuse crate::Thing;\n";
    assert_eq!(violations("src/inbox/ask.rs", text), Vec::<String>::new());
    assert_eq!(violations("src/lib.rs", "//! Everything.\npub mod model;\n"), Vec::<String>::new());
}

#[test]
fn a_wrong_import_is_caught() {
    check("src/derive/winner.rs", "//! A.\nuse crate::store::Store;\n", "`derive` must not import `store`");
    check("src/notion.rs", "//! A.\nfn f(s: crate::store::Seq) {}\n", "`notion` must not import `store`");
    check("src/model.rs", "//! A.\nuse crate::{\n    clock::Clock,\n};\n", "`model` must not import `clock`");
    check("src/inbox.rs", "//! A.\nuse crate::{model::{a, b::{c}}, http};\n", "`inbox` must not import `http`");
    check("src/worker.rs", "//! A.\nuse crate::lookup::Lookup;\n", "`worker` must not import `lookup`");
    check("src/http/public.rs", "//! A.\nuse crate::app;\n", "`http` must not import `app`");
}

#[test]
fn a_module_without_a_place_is_caught() {
    check("src/utils/text.rs", "//! A.\n", "`utils` has no place in the table");
}

#[test]
fn a_file_that_looks_wrong_is_caught() {
    check("src/model.rs", "use std::fmt;\n", "does not open with `//! ` and its one job");
    check("src/model/key.rs", "//! A.\nuse super::page;\n", "writes `super::`");
    check("src/model.rs", &format!("//! A.\n{}", "\n".repeat(LINES_MAX)), "has 351 lines above its tests");
    let long_tests = format!("//! A.\n{TESTS} {{\n    use super::*;\n{}}}\n", "\n".repeat(LINES_MAX));
    assert_eq!(violations("src/model.rs", &long_tests), Vec::<String>::new());
}

/// Reads every file of the program, with its path relative to the package.
fn tree() -> Vec<(String, String)> {
    let (mut files, mut folders) = (Vec::new(), vec![Path::new("src").to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push((path.to_str().unwrap().to_owned(), fs::read_to_string(&path).unwrap()));
            }
        }
    }
    files
}

/// Checks that `text` at `path` breaks exactly one rule, and which.
fn check(path: &str, text: &str, expected: &str) {
    let found = violations(path, text);
    assert!(matches!(&*found, [only] if only.starts_with(path) && only.contains(expected)), "{expected}: {found:?}");
}

/// Lists every rule that the file at `path`, relative to the package, breaks.
fn violations(path: &str, text: &str) -> Vec<String> {
    let mut found = wrong_imports(path, text);
    let code = code(text);
    if !text.starts_with("//! ") {
        found.push(format!("{path} does not open with `//! ` and its one job"));
    }
    if code.contains("super::") {
        found.push(format!("{path} writes `super::` instead of `crate::…`, which hides the import"));
    }
    let lines = code.lines().count();
    if lines > LINES_MAX {
        found.push(format!("{path} has {lines} lines above its tests, at most {LINES_MAX}"));
    }
    found
}

/// Returns what stands above the tests.
fn code(text: &str) -> &str {
    text.split(TESTS).next().unwrap_or(text)
}

fn wrong_imports(path: &str, text: &str) -> Vec<String> {
    let module = path.trim_start_matches("src/").split(['/', '.']).next().unwrap_or(path);
    if ROOTS.contains(&module) {
        return Vec::new();
    }
    let Some(allowed) = allowed(module) else {
        return vec![format!("{path}: `{module}` has no place in the table")];
    };
    let imports: BTreeSet<String> =
        paths(text).iter().filter_map(|path| path.split("::").next()).map(str::to_owned).collect();
    imports
        .iter()
        .filter(|import| import.starts_with(char::is_lowercase))
        .filter(|import| *import != module && !allowed.contains(&import.as_str()))
        .map(|import| format!("{path}: `{module}` must not import `{import}`"))
        .collect()
}

/// Returns the modules that `module` may import; `None` where it is not in the table.
fn allowed(module: &str) -> Option<Vec<&'static str>> {
    let height = HOUSE.iter().position(|layer| layer.modules.contains(&module))?;
    let (below, rest) = HOUSE.split_at(height);
    match rest.first()?.may_import {
        Reach::Only(modules) => Some(modules.to_vec()),
        Reach::LayersBelow => Some(below.iter().flat_map(|layer| layer.modules).copied().collect()),
    }
}
