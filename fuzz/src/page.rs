//! Page objects: damaged ones as bytes, and whole ones of the fixtures in other shapes.

use std::sync::LazyLock;

use serde_json::{Map, Value as Tree, json};
use suppressd::{
    derive::{
        self,
        mapping::{self, Mapping, Names},
    },
    model::page::{Page, Schema},
    notion::{json::Json, page_json, schema},
};

use super::keys;

/// The data source of the fixtures.
static SOURCE: LazyLock<(Schema, Mapping)> = LazyLock::new(|| {
    let json = serde_json::from_str(include_str!("../../fixtures/pages/data_source.json")).unwrap();
    let schema = schema::schema(&json).unwrap();
    let mapping = mapping::resolve(&schema, &Names::default(), None).unwrap().mapping;
    (schema, mapping)
});

/// Pages that have most of what pages can have.
static PAGES: LazyLock<Vec<Tree>> = LazyLock::new(|| {
    [
        include_str!("../../fixtures/pages/canonical-keys.json"),
        include_str!("../../fixtures/pages/companies-house.json"),
        include_str!("../../fixtures/pages/github-properties.json"),
        include_str!("../../fixtures/pages/idn-website.json"),
        include_str!("../../fixtures/pages/moved-to-page.json"),
        include_str!("../../fixtures/pages/name-location.json"),
    ]
    .map(|text| serde_json::from_str(text).unwrap())
    .into()
});

/// Reads bytes as a page object, down to its claims.
pub fn page(bytes: &[u8]) {
    let (borrowed, owned) = (serde_json::from_slice::<Json<'_>>(bytes), serde_json::from_slice::<Tree>(bytes));
    // A marker of `serde_json` itself, which only its own tree obeys.
    if bytes.windows(20).any(|window| window == b"$serde_json::private") {
        return;
    }
    assert_eq!(borrowed.is_ok(), owned.is_ok(), "ours reads what everybody reads: {borrowed:?} {owned:?}");
    let (Ok(borrowed), Ok(owned)) = (borrowed, owned) else { return };
    let read = page_json::page(&borrowed);
    assert_eq!(page_json::page(&borrowed), read, "the same in, the same out");
    // Where no name stands twice, a tree of other people's gives the same page.
    if leaves(&borrowed) == leaves(&Json::from(&owned)) {
        assert_eq!(page_json::page(&Json::from(&owned)).map(sorted), read.clone().map(sorted));
    }
    read.iter().for_each(claims);
}

/// Changes a page of the fixtures as the bytes say, and reads it. What is no page any more is refused.
pub fn shaped_page(bytes: &[u8]) {
    let mut moves = bytes.iter().map(|byte| usize::from(*byte));
    let mut next = || moves.next();
    let Some(mut page) = next().and_then(|at| PAGES.get(at % PAGES.len())).cloned() else { return };
    while let (Some(at), Some(how), Some(with)) = (next(), next(), next()) {
        let count = count(&page);
        // Most pages have more nodes than a byte has values.
        change(&mut page, &mut ((at * 256 + how) % count), how, with);
    }
    let read = page_json::page(&Json::from(&page));
    let text = page.to_string();
    let back: Json<'_> = serde_json::from_str(&text).unwrap();
    assert_eq!(page_json::page(&back).map(sorted), read.clone().map(sorted), "written and read again");
    read.iter().for_each(claims);
}

/// Checks what the values of a page give.
fn claims(page: &Page) {
    let (schema, mapping) = &*SOURCE;
    let values = mapping.values(page);
    assert_eq!(mapping.values(page), values);
    // Wherever it stands, that can be said.
    let _standing = derive::standing(page, schema.data_source, schema.database);
    keys::claims(&values);
}

/// The page with its properties in the order of their names.
fn sorted(mut page: Page) -> Page {
    page.properties.sort_by(|one, other| (&one.name, &one.id).cmp(&(&other.name, &other.id)));
    page
}

/// Counts what stands at the ends of a tree.
fn leaves(json: &Json<'_>) -> usize {
    match json {
        Json::List(items) => 1 + items.iter().map(leaves).sum::<usize>(),
        Json::Object(fields) => 1 + fields.iter().map(|(_, value)| leaves(value)).sum::<usize>(),
        _ => 1,
    }
}

/// Counts the nodes of a tree.
fn count(tree: &Tree) -> usize {
    leaves(&Json::from(tree))
}

/// Changes the node with the number `at`; what it stands for when this returns is of no interest.
fn change(tree: &mut Tree, at: &mut usize, how: usize, with: usize) {
    if *at == 0 {
        *at = usize::MAX;
        return changed(tree, how, with);
    }
    *at -= 1;
    match tree {
        Tree::Array(items) => items.iter_mut().for_each(|item| change_unless_done(item, at, how, with)),
        Tree::Object(fields) => fields.values_mut().for_each(|field| change_unless_done(field, at, how, with)),
        _ => (),
    }
}

fn change_unless_done(tree: &mut Tree, at: &mut usize, how: usize, with: usize) {
    if *at != usize::MAX {
        change(tree, at, how, with);
    }
}

/// Makes something else of a node.
fn changed(tree: &mut Tree, how: usize, with: usize) {
    let texts = [
        "",
        " ",
        "null",
        "https://www.Acme.example/a?b#c",
        "domain:acme.example, crunchbase:acme",
        "\u{202e}acme\u{0}",
        "12345678",
        "xn--n3h.example",
        "github.com/Acme/core",
        "2026-13-45T99:99:99Z",
        "9999-12-31T23:59:59Z",
    ];
    let text = texts.get(with % texts.len()).copied().unwrap_or_default();
    match how % 10 {
        0 => *tree = Tree::Null,
        1 => *tree = json!(text),
        2 => *tree = json!(with.is_multiple_of(2)),
        3 => *tree = json!(f64::from(u8::try_from(with % 256).unwrap_or_default()) * 1e300),
        4 => *tree = json!([tree.take()]),
        5 => *tree = json!({ "type": text, text: tree.take() }),
        6 => *tree = Tree::Object(Map::new()),
        7 => *tree = json!(text.repeat(with)),
        8 => match tree {
            Tree::Object(fields) => {
                let name = fields.keys().nth(with % fields.len().max(1)).cloned();
                drop(name.and_then(|name| fields.remove(&name)));
            }
            Tree::Array(items) => drop(items.pop()),
            _ => (),
        },
        _ => match tree {
            Tree::Array(items) => {
                let again = items.clone();
                items.extend(again.into_iter().take(8));
            }
            Tree::Object(fields) => {
                let first = fields.values().nth(with % fields.len().max(1)).cloned();
                fields.insert(text.to_owned(), first.unwrap_or_default());
            }
            _ => (),
        },
    }
}
