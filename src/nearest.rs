//! The word that somebody may have meant.

/// Returns the word of `known` that somebody who wrote `word` most likely meant, if one is near enough.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let last = |key: &'a str| key.rsplit('.').next().unwrap_or(key);
    let length = word.chars().count();
    let farthest = (length / 3).max(1);
    known
        .into_iter()
        .flat_map(|candidate| [(candidate, candidate), (last(candidate), candidate)])
        // Letters that one has more than the other must be inserted: most words need no closer look.
        .filter(|(form, _)| form.chars().count().abs_diff(length) <= farthest)
        .map(|(form, candidate)| (distance(word, form), candidate))
        .filter(|(distance, _)| *distance <= farthest)
        .min()
        .map(|(_, candidate)| candidate)
}

/// Counts the letters to insert, drop or replace that lead from `a` to `b` (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (1..=b.chars().count()).collect();
    for (above, x) in a.chars().enumerate() {
        let (mut diagonal, mut left) = (above, above + 1);
        for (cell, y) in row.iter_mut().zip(b.chars()) {
            left = (diagonal + usize::from(x != y)).min(*cell + 1).min(left + 1);
            diagonal = std::mem::replace(cell, left);
        }
    }
    row.last().copied().unwrap_or_else(|| a.chars().count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_pen_finds_the_word_that_was_meant() {
        let known = ["db_path", "notion.base_url", "notion.database_id", "serve.listen"];
        for (word, meant) in [
            ("db_pth", Some("db_path")),
            ("dbpath", Some("db_path")),
            ("notion.databaseid", Some("notion.database_id")),
            ("base_url", Some("notion.base_url")),
            ("lisen", Some("serve.listen")),
            ("colour", None),
            ("x", None),
        ] {
            assert_eq!(nearest(word, known), meant, "{word}");
        }
    }

    #[test]
    fn distances_count_letters() {
        for (a, b, letters) in [("kitten", "sitting", 3), ("", "abc", 3), ("abc", "", 3), ("same", "same", 0)] {
            assert_eq!(distance(a, b), letters, "{a} {b}");
        }
    }
}
