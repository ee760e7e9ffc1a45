//! Finds modules of one folder that import each other in a circle.
//!
//! A folder and the file beside it that bears its name are one module to their neighbours. What a module and those inside
//! it take from each other is not looked at, nor are tests. Where a file takes an item that a module above it only hands
//! on, it imports the file from which that module has it.

use std::collections::{BTreeMap, BTreeSet};

use crate::{TESTS, code, imports::paths};

/// The paths that each module names, by the path of the module.
type Tree = BTreeMap<String, BTreeSet<String>>;

/// Who imports whom, among neighbours.
type Arrows = BTreeMap<String, BTreeSet<String>>;

/// Names the circles among these files, given as path and text: one in each knot.
pub(crate) fn circles(files: &[(String, String)]) -> Vec<String> {
    let tree: Tree = files.iter().map(|(path, text)| (module(path), paths(code(text)))).collect();
    let mut folders: BTreeMap<String, Arrows> = BTreeMap::new();
    for (importer, paths) in &tree {
        for home in paths.iter().filter_map(|path| home(&tree, path)) {
            if let Some((folder, from, to)) = neighbours(importer, home) {
                folders.entry(folder).or_default().entry(from).or_default().insert(to);
            }
        }
    }
    folders.iter_mut().flat_map(|(folder, arrows)| circles_in(folder, arrows)).collect()
}

/// Returns the path of the module in a file: `derive::name` for `src/derive/name.rs`.
fn module(file: &str) -> String {
    file.trim_start_matches("src/").trim_end_matches(".rs").replace('/', "::")
}

/// Finds the module that a path leads to, through modules that hand the item on.
fn home<'a>(tree: &'a Tree, path: &str) -> Option<&'a str> {
    let ends = path.match_indices("::").map(|(at, _)| at).chain([path.len()]);
    let (module, paths) = ends.filter_map(|end| tree.get_key_value(path.get(..end)?)).last()?;
    let inside = format!("{module}::");
    let item = path.strip_prefix(&inside).and_then(|rest| rest.split("::").next());
    let handed_on = item.and_then(|item| {
        paths.iter().find(|path| path.strip_prefix(&inside).is_some_and(|rest| rest.ends_with(&format!("::{item}"))))
    });
    handed_on.and_then(|path| home(tree, path)).or(Some(module))
}

/// Returns the innermost module that holds both, and which of its modules each is or stands in.
fn neighbours(from: &str, to: &str) -> Option<(String, String, String)> {
    let (from, to): (Vec<_>, Vec<_>) = (from.split("::").collect(), to.split("::").collect());
    let depth = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
    let folder = from.get(..depth).filter(|folder| !folder.is_empty())?;
    Some((folder.join("::"), (*from.get(depth)?).to_owned(), (*to.get(depth)?).to_owned()))
}

fn circles_in(folder: &str, arrows: &mut Arrows) -> Vec<String> {
    let mut found = Vec::new();
    loop {
        drop_those_without_arrow(arrows);
        let Some(first) = arrows.keys().next() else { return found };
        let circle = circle_ahead(arrows, first);
        found.push(format!("`{folder}`: {} -> {}", circle.join(" -> "), circle.first().unwrap()));
        arrows.retain(|module, _| !circle.contains(module));
    }
}

/// Leaves only the modules from which a circle is reached.
fn drop_those_without_arrow(arrows: &mut Arrows) {
    loop {
        let left: BTreeSet<String> = arrows.keys().cloned().collect();
        for imported in arrows.values_mut() {
            imported.retain(|module| left.contains(module));
        }
        arrows.retain(|_, imported| !imported.is_empty());
        if arrows.len() == left.len() {
            return;
        }
    }
}

/// Follows the arrows, which never end here, until they lead back.
fn circle_ahead(arrows: &Arrows, first: &str) -> Vec<String> {
    let mut way = vec![first.to_owned()];
    loop {
        let next = arrows[way.last().unwrap()].first().unwrap();
        if let Some(start) = way.iter().position(|module| module == next) {
            return way.split_off(start);
        }
        way.push(next.clone());
    }
}

#[test]
fn files_that_import_downwards_pass() {
    check(&[("src/a.rs", ""), ("src/a/b.rs", "use crate::a::{c, d::E};"), ("src/a/c.rs", "use crate::a::d::E;")], &[]);
    // What two modules of the house take from each other is the table's business; a module's own face is its own.
    check(&[("src/a/b.rs", "use crate::c::D;"), ("src/c.rs", "use crate::a::b;")], &[]);
    check(&[("src/a.rs", "use crate::a::b::C;\nstruct E;"), ("src/a/b.rs", "use crate::a::E;")], &[]);
    check(&[("src/a/b.rs", "use crate::a::c;"), ("src/a/c.rs", &format!("{TESTS} {{ use crate::a::b::D; }}"))], &[]);
}

#[test]
fn a_circle_is_named() {
    let pair = [("src/a/b.rs", "use crate::a::{c::D, e};"), ("src/a/c.rs", "fn f() { crate::a::b::g() }")];
    check(&pair, &["`a`: b -> c -> b"]);
    let three =
        [("src/a/b.rs", "use crate::a::c;"), ("src/a/c.rs", "use crate::a::d;"), ("src/a/d.rs", "use crate::a::b;")];
    let four =
        [three.as_slice(), &[("src/a/above.rs", "use crate::a::c;"), ("src/x/y.rs", "use crate::a::b;")]].concat();
    check(&four, &["`a`: c -> d -> b -> c"]);
}

#[test]
fn a_circle_is_seen_through_the_module_that_hands_on() {
    let face = ("src/a.rs", "pub use crate::a::{b::C, d::E};");
    check(&[face, ("src/a/b.rs", "use crate::a::E;"), ("src/a/d.rs", "use crate::a::b;")], &["`a`: b -> d -> b"]);
}

#[test]
fn a_folder_and_its_file_are_one_module() {
    let folder = [("src/a/b.rs", ""), ("src/a/b/c.rs", "use crate::a::d::E;"), ("src/a/d.rs", "use crate::a::b::F;")];
    check(&folder, &["`a`: b -> d -> b"]);
    let inner = [("src/a/b/c.rs", "use crate::a::b::d;"), ("src/a/b/d.rs", "use crate::a::b::c;")];
    check(&inner, &["`a::b`: c -> d -> c"]);
}

#[test]
fn every_knot_is_named() {
    let text = |module: &str| format!("use crate::a::{module};");
    let (b, c, d, e) = (text("b"), text("c"), text("d"), text("e"));
    check(
        &[("src/a/b.rs", &c), ("src/a/c.rs", &b), ("src/a/d.rs", &e), ("src/a/e.rs", &d)],
        &["`a`: b -> c -> b", "`a`: d -> e -> d"],
    );
}

fn check(files: &[(&str, &str)], expected: &[&str]) {
    let files: Vec<_> = files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
    assert_eq!(circles(&files), expected);
}
