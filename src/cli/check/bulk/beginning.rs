//! What a file begins with: its form, or that it is something else than text.

use std::io::{self, BufRead as _, BufReader, Read};

use crate::cli::{
    args::bulk::InputFormat,
    check::bulk::form::{ROW_BYTES_MAX, Unreadable},
};

/// Some programs put this before the text.
pub(super) const BYTE_ORDER_MARK: &str = "\u{feff}";

/// What a file of another kind begins with, and what to do with it.
const OTHERS: [(&[u8], &str); 4] = [
    (b"\xff\xfe", UTF_16),
    (b"\xfe\xff", UTF_16),
    (b"PK\x03\x04", "this is a workbook, or another archive: save the sheet as «CSV UTF-8 (comma delimited)»"),
    (b"\x1f\x8b", "this is gzip: zcat FILE | suppressd check --input -"),
];

const UTF_16: &str = "this is UTF-16, as «Unicode Text» is: save it as «CSV UTF-8 (comma delimited)»";

/// Reads the first line that is not blank, and whatever comes along with it.
pub(super) fn read(input: &mut BufReader<impl Read>) -> io::Result<Vec<u8>> {
    let mut beginning = Vec::new();
    while beginning.len() <= ROW_BYTES_MAX {
        let more = input.fill_buf()?;
        let read = more.len();
        if read == 0 {
            break;
        }
        beginning.extend_from_slice(more);
        input.consume(read);
        if beginning.trim_ascii_start().contains(&b'\n') {
            break;
        }
    }
    Ok(beginning)
}

/// Refuses what is known to be no text.
pub(super) fn refuse_others(beginning: &[u8]) -> Result<(), Unreadable> {
    let other = OTHERS.iter().find(|(mark, _)| beginning.starts_with(mark));
    other.map_or(Ok(()), |(_, told)| Err(Unreadable::Table((*told).to_owned())))
}

/// An object of JSON begins with a brace, and a list with a bracket: that it is no object is told then.
pub(super) fn format(beginning: &[u8]) -> InputFormat {
    match text(beginning).trim_ascii_start() {
        [b'{' | b'[', ..] => InputFormat::Jsonl,
        _ => InputFormat::Csv,
    }
}

/// Returns what stands behind the mark.
pub(super) fn text(beginning: &[u8]) -> &[u8] {
    beginning.strip_prefix(BYTE_ORDER_MARK.as_bytes()).unwrap_or(beginning)
}
