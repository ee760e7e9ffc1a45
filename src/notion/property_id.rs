//! The ids of properties, which Notion sends percent-encoded («PVAL», «EV»).

use percent_encoding::percent_decode_str;

/// Decodes an id exactly once: one that still holds a `%` afterwards really has it.
///
/// Sequences that encode nothing stay as they are, and so does a whole id that would not be UTF-8.
pub(crate) fn decode(id: &str) -> String {
    match percent_decode_str(id).decode_utf8() {
        Ok(decoded) => decoded.into_owned(),
        Err(_not_utf8) => id.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_encoded_ids_are_decoded_once_only() {
        let check = |encoded, id| assert_eq!(decode(encoded), id, "{encoded}");
        check("title", "title");
        check("f%5C%5C%3Ap", r"f\\:p");
        check("XGe%40", "XGe@");
        check("bDf%5B", "bDf[");
        check("a%2525b", "a%25b");
        check("notion%3A%2F%2Ftasks%2Fid", "notion://tasks/id");
        check("%C3%BC", "ü");
    }

    #[test]
    fn what_encodes_nothing_stays() {
        for id in ["%", "%4", "%zz", "a%", "%FF", "t|O@", "{Ml`", ""] {
            assert_eq!(decode(id), id);
        }
    }
}
