//! Tables of values parted by a sign, with a header.

use std::{
    io::{self, ErrorKind, Read},
    ops::Range,
};

use csv::{IntoInnerError, Reader, ReaderBuilder, StringRecord, Terminator, Writer, WriterBuilder};

use crate::{
    cli::check::bulk::{
        added::{COLUMNS, Cells},
        columns::{Field, Said, is_ours},
        form::{Answer, BATCH_BYTES_MAX, Batch, Form, ROW_BYTES_MAX, ROWS_AT_ONCE, Unreadable},
    },
    lookup::Question,
};

/// What may part values, in the order in which it is tried.
const DELIMITERS: [u8; 3] = [b',', b';', b'\t'];

/// What is read from the file at once.
const BUFFER_BYTES: usize = 64 * 1024;

/// Stands behind the last row, as a row that no table has: what finds it in a cell lies within a quote that is not closed.
const END: &str = "\n\u{fdd0}the end\u{fdd0}\n";

/// Some file managers put this before the text.
pub(super) const BYTE_ORDER_MARK: &str = "\u{feff}";

/// The form of a table, as its header shows it.
#[derive(Debug)]
pub(super) struct CsvForm {
    delimiter: u8,
    terminator: Terminator,
    marked: bool,
    header: Vec<Column>,
}

#[derive(Debug)]
struct Column {
    name: String,
    field: Option<Field>,
    /// An earlier run added it; it is left out.
    is_old: bool,
}

/// Rows of a table, one text behind the other.
#[derive(Debug, Default)]
pub(super) struct CsvRows {
    text: String,
    /// Where each cell ends; every row has as many cells as the header.
    ends: Vec<usize>,
}

/// The rows of a table, batch by batch.
#[derive(Debug)]
pub(super) struct CsvBatches<R> {
    reader: Reader<Bounded<R>>,
    record: StringRecord,
    /// How many columns the header has, once it is read.
    columns: Option<usize>,
    ended: bool,
}

/// A reader that gives no more than a row may have, until it is told that a row has ended. Behind its input it gives
/// [`END`].
#[derive(Debug)]
struct Bounded<R> {
    input: R,
    left: usize,
    given: u64,
    end: &'static [u8],
}

/// Opens a table of which `beginning` has been read: at least its header, unless that is too long.
pub(super) fn open<R: Read>(
    beginning: &[u8],
    input: R,
) -> Result<(CsvForm, CsvBatches<impl Read + use<R>>), Unreadable> {
    let text = beginning.strip_prefix(BYTE_ORDER_MARK.as_bytes());
    let (marked, text) = (text.is_some(), text.unwrap_or(beginning).to_vec());
    let delimiter = delimiter(&text);
    let newline = text.iter().position(|byte| *byte == b'\n');
    let is_crlf = newline.and_then(|at| text.get(at.checked_sub(1)?)) == Some(&b'\r');
    let terminator = if is_crlf { Terminator::CRLF } else { Terminator::Any(b'\n') };

    let bounded = Bounded { input: io::Cursor::new(text).chain(input), left: 0, given: 0, end: END.as_bytes() };
    let mut form = ReaderBuilder::new();
    form.has_headers(false).flexible(true).delimiter(delimiter).buffer_capacity(BUFFER_BYTES);
    let reader = form.from_reader(bounded);
    let mut batches = CsvBatches { reader, record: StringRecord::new(), columns: None, ended: false };
    if !batches.read()? {
        return Err(Unreadable::Table("there is nothing in it, not even a header".to_owned()));
    }
    let header: Vec<Column> = batches.record.iter().map(Column::named).collect();
    if header.iter().all(|column| column.field.is_none()) {
        let found = header.iter().map(|column| column.name.as_str()).collect::<Vec<_>>().join(", ");
        return Err(Unreadable::Table(format!(
            "no column of the header says anything of a company ({found}): name one of {}",
            Field::known()
        )));
    }
    Ok((CsvForm { delimiter, terminator, marked, header }, batches))
}

/// Returns the sign by which the header has most columns that are known, or else most columns.
fn delimiter(text: &[u8]) -> u8 {
    let columns = |delimiter: &u8| {
        let mut record = StringRecord::new();
        let mut reader = ReaderBuilder::new().has_headers(false).delimiter(*delimiter).from_reader(text);
        // Why it cannot be read is told when it is read again.
        let _read = reader.read_record(&mut record);
        (record.iter().filter(|name| Field::of(name).is_some()).count(), record.len())
    };
    // Of equals the last one is the greatest.
    DELIMITERS.into_iter().rev().max_by_key(columns).unwrap_or(b',')
}

impl Column {
    fn named(name: &str) -> Self {
        Self { name: name.to_owned(), field: Field::of(name), is_old: is_ours(name) }
    }
}

impl<R: Read> CsvBatches<R> {
    /// Reads a record; returns whether there was one.
    fn read(&mut self) -> Result<bool, Unreadable> {
        let line = self.reader.position().line();
        self.reader.get_mut().left = ROW_BYTES_MAX + BUFFER_BYTES;
        let is_read = self.reader.read_record(&mut self.record).map_err(|error| match error.into_kind() {
            csv::ErrorKind::Utf8 { .. } => {
                Unreadable::row(line, "this row is not UTF-8: save the file in that encoding")
            }
            csv::ErrorKind::Io(error) if error.kind() == ErrorKind::FileTooLarge => Unreadable::too_long(line),
            csv::ErrorKind::Io(error) => Unreadable::Input(error),
            other => Unreadable::row(line, format!("{other:?}")),
        })?;
        let (text, len) = (self.record.as_slice(), self.record.len());
        if !is_read || text == END.trim_ascii() {
            return Ok(false);
        }
        if text.ends_with(END) {
            return Err(Unreadable::row(line, "this row has a quote that is not closed"));
        }
        let columns = *self.columns.get_or_insert(len);
        if len != columns {
            return Err(Unreadable::row(line, format!("this row has {len} columns, and the header has {columns}")));
        }
        Ok(true)
    }
}

impl<R: Read> Iterator for CsvBatches<R> {
    type Item = Batch<CsvRows>;

    fn next(&mut self) -> Option<Batch<CsvRows>> {
        let (mut rows, mut count, mut broken) = (CsvRows::default(), 0, None);
        while !self.ended && count < ROWS_AT_ONCE && rows.bytes() < BATCH_BYTES_MAX {
            match self.read() {
                Ok(true) => rows.push(&self.record),
                Ok(false) => self.ended = true,
                Err(why) => (self.ended, broken) = (true, Some(why)),
            }
            count += 1;
        }
        let bytes_read = self.reader.get_ref().given;
        (!rows.ends.is_empty() || broken.is_some()).then_some(Batch { rows, broken, bytes_read })
    }
}

impl CsvRows {
    fn push(&mut self, record: &StringRecord) {
        let before = self.text.len();
        self.text.push_str(record.as_slice());
        self.ends.extend((0..record.len()).filter_map(|at| record.range(at)).map(|Range { end, .. }| before + end));
    }

    /// Returns how much memory they take: a cell takes some although nothing is in it.
    fn bytes(&self) -> usize {
        self.text.len() + size_of_val(self.ends.as_slice())
    }

    /// Lists the cells of all rows, row by row.
    fn cells(&self) -> impl Iterator<Item = &str> {
        let mut start = 0;
        self.ends.iter().map(move |end| self.text.get(std::mem::replace(&mut start, *end)..*end).unwrap_or_default())
    }
}

impl CsvForm {
    fn writer(&self) -> Writer<Vec<u8>> {
        WriterBuilder::new().delimiter(self.delimiter).terminator(self.terminator).from_writer(Vec::new())
    }
}

impl Form for CsvForm {
    type Rows = CsvRows;

    fn head(&self) -> io::Result<Vec<u8>> {
        let mut writer = self.writer();
        let kept = self.header.iter().filter(|column| !column.is_old).map(|column| column.name.as_str());
        writer.write_record(kept.chain(COLUMNS))?;
        let head = writer.into_inner().map_err(IntoInnerError::into_error)?;
        Ok(if self.marked { [BYTE_ORDER_MARK.as_bytes(), &head].concat() } else { head })
    }

    fn questions(&self, rows: &mut CsvRows) -> (Vec<Result<Question, String>>, Option<Unreadable>) {
        let mut cells = rows.cells();
        let question = |_row| {
            let mut said = Said::default();
            for (column, cell) in self.header.iter().zip(cells.by_ref()) {
                if let Some(field) = column.field {
                    said.add(field, cell);
                }
            }
            Ok(said.question())
        };
        ((0..rows.ends.len() / self.header.len()).map(question).collect(), None)
    }

    fn write(&self, rows: &CsvRows, answers: &[Answer]) -> io::Result<Vec<u8>> {
        let (mut writer, mut added, mut cells) = (self.writer(), Cells::default(), rows.cells());
        for answer in answers {
            for (column, cell) in self.header.iter().zip(cells.by_ref()) {
                if !column.is_old {
                    writer.write_field(cell)?;
                }
            }
            added.write(&mut writer, answer)?;
            writer.write_record(None::<&[u8]>)?;
        }
        writer.into_inner().map_err(IntoInnerError::into_error)
    }
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = buffer.len().min(self.left);
        if most == 0 && !buffer.is_empty() {
            return Err(ErrorKind::FileTooLarge.into());
        }
        let given = self.input.read(buffer.get_mut(..most).unwrap_or_default())?;
        if given == 0 {
            return self.end.read(buffer);
        }
        self.left -= given;
        self.given += given as u64;
        Ok(given)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Runs a table through, with the same answer for every row; also returns what was asked, and why it ended early.
    fn through(text: &[u8]) -> (String, Vec<Question>, Option<String>) {
        // What is read at the beginning may end anywhere behind the first line.
        let beginning = text.iter().position(|byte| *byte == b'\n').map_or(text.len(), |at| at + 1);
        let (beginning, rest) = text.split_at(beginning);
        let (form, batches) = match open(beginning, rest) {
            Ok(opened) => opened,
            Err(why) => return (String::new(), Vec::new(), Some(why.to_string())),
        };
        let (mut written, mut asked, mut broken) = (form.head().unwrap(), Vec::new(), None);
        for mut batch in batches {
            let (questions, unreadable) = form.questions(&mut batch.rows);
            assert!(unreadable.is_none());
            written.extend(form.write(&batch.rows, &vec![Err("none".to_owned()); questions.len()]).unwrap());
            asked.extend(questions.into_iter().map(Result::unwrap));
            broken = batch.broken.map(|why| why.to_string());
        }
        (String::from_utf8(written).unwrap(), asked, broken)
    }

    /// What stands behind every row: fourteen empty cells and the error.
    fn answer(delimiter: char) -> String {
        format!("{}none", delimiter.to_string().repeat(COLUMNS.len()))
    }

    fn head(delimiter: char) -> String {
        format!("{delimiter}{}", COLUMNS.join(&delimiter.to_string()))
    }

    fn text(text: &str) -> Question {
        Question::Text(text.to_owned())
    }

    #[test]
    fn a_table_comes_back_in_its_own_form() {
        let (a, h) = (answer(','), head(','));
        for (table, expected) in [
            ("key,n\nacme.ai,1\n", format!("key,n{h}\nacme.ai,1{a}\n")),
            ("key,n\r\nacme.ai,1\r\n", format!("key,n{h}\r\nacme.ai,1{a}\r\n")),
            ("\u{feff}key,n\nacme.ai,1", format!("\u{feff}key,n{h}\nacme.ai,1{a}\n")),
            ("n,Key\n\"a,\"\"b\"\"\nc\",acme.ai\n", format!("n,Key{h}\n\"a,\"\"b\"\"\nc\",acme.ai{a}\n")),
            ("key,n\n=1+1, x\n", format!("key,n{h}\n=1+1, x{a}\n")),
            ("key\n\n\nacme.ai\n", format!("key{h}\nacme.ai{a}\n")),
            ("key,n\nacme.ai,5\" x\n", format!("key,n{h}\nacme.ai,\"5\"\" x\"{a}\n")),
            ("key,n\nacme.ai,\"\"\"\"", format!("key,n{h}\nacme.ai,\"\"\"\"{a}\n")),
            ("key;n,m\nacme.ai;1,5\n", format!("key;n,m{}\nacme.ai;1,5{}\n", head(';'), answer(';'))),
            ("n\tkey\n1\tacme.ai\n", format!("n\tkey{}\n1\tacme.ai{}\n", head('\t'), answer('\t'))),
            ("key,suppressd_error,suppressd_x\nacme.ai,old,old\n", format!("key{h}\nacme.ai{a}\n")),
            ("key\n", format!("key{h}\n")),
        ] {
            let (written, _, broken) = through(table.as_bytes());
            assert_eq!((written, broken), (expected, None), "{table:?}");
        }
    }

    #[test]
    fn rows_are_asked_by_the_columns_that_are_known() {
        let (_, asked, _) = through(b"id,Key\n1,acme.ai\n2,\n");
        let Some(Question::Company(nothing)) = asked.get(1) else { panic!("{asked:?}") };
        assert_eq!((asked.first(), &**nothing), (Some(&text("acme.ai")), &crate::model::verdict::Company::default()));
    }

    #[test]
    fn what_cannot_be_read_is_told_with_its_line_and_what_came_before_stands() {
        let long = format!("key,n\nacme.ai,1\n\"{}", "x\n".repeat(ROW_BYTES_MAX));
        for (table, told) in [
            (&b"key,n\nacme.ai,1\nacme.de\n"[..], "line 3: this row has 1 columns, and the header has 2"),
            (b"key,n\nacme.ai,1\nacme.de,2,3\n", "line 3: this row has 3 columns"),
            (b"key,n\n\"acme\n.ai\",1\nacme.de,\xff\n", "line 4: this row is not UTF-8"),
            (b"key,n\nacme.ai,1\nacme.de,\"2\nacme.fr,3\n", "line 3: this row has a quote that is not closed"),
            (b"key,n\nacme.ai,1\n\"", "line 3: this row has a quote that is not closed"),
            (long.as_bytes(), "line 3: this row has more than 1024 KiB"),
        ] {
            let (written, asked, broken) = through(table);
            assert!(broken.as_ref().is_some_and(|broken| broken.starts_with(told)), "{broken:?}");
            assert_eq!((asked.len(), written.matches("none").count()), (1, 1), "{told}");
        }
        for (table, told) in [
            (&b""[..], "there is nothing in it"),
            (
                b"id,status\n1,Lost\n",
                "no column of the header says anything of a company (id, status): name one of key,",
            ),
            (b"k\xffy\n", "line 1: this row is not UTF-8"),
            (b"key,\"n\nacme.ai,1\n", "line 1: this row has a quote that is not closed"),
        ] {
            let (_, _, broken) = through(table);
            assert!(broken.as_ref().is_some_and(|broken| broken.starts_with(told)), "{broken:?}");
        }
    }

    #[test]
    fn batches_are_bounded_in_rows_and_in_bytes() {
        let many = format!("key\n{}", "acme.ai\n".repeat(ROWS_AT_ONCE * 2 + 1));
        let count = |text: &str| {
            let (_, batches) = open(text.as_bytes(), io::empty()).unwrap();
            batches.map(|batch| batch.rows.ends.len()).collect::<Vec<_>>()
        };
        assert_eq!(count(&many), [ROWS_AT_ONCE, ROWS_AT_ONCE, 1]);
        let long = format!("key\n{}", format!("{}\n", "x".repeat(BATCH_BYTES_MAX / 2)).repeat(5));
        assert_eq!(count(&long), [2, 2, 1]);
        // A cell takes memory although nothing is in it.
        let columns = BATCH_BYTES_MAX / size_of::<usize>();
        let wide = format!("key{}\n", ",".repeat(columns - 1));
        assert_eq!(count(&format!("{wide}{}", wide.repeat(3).replace("key", ""))), [columns; 3]);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_table_of_strings_survives(
            names in prop::collection::vec("[a-z ]{0,6}", 0..4),
            cells in prop::collection::vec(prop_oneof![any::<String>(), "[\",;\t\r\n a=]{0,5}"], 0..24),
            delimiter in prop::sample::select(DELIMITERS.to_vec()),
            crlf in any::<bool>(),
        ) {
            let header: Vec<&str> = ["key"].into_iter().chain(names.iter().map(String::as_str)).collect();
            // A header of one column shows no sign.
            let delimiter = if header.len() == 1 { b',' } else { delimiter };
            let rows: Vec<&[String]> = cells.chunks_exact(header.len()).collect();
            let terminator = if crlf { Terminator::CRLF } else { Terminator::Any(b'\n') };
            let mut writer = WriterBuilder::new().delimiter(delimiter).terminator(terminator).from_writer(Vec::new());
            writer.write_record(&header).unwrap();
            for row in &rows {
                writer.write_record(*row).unwrap();
            }
            let table = writer.into_inner().unwrap();

            let (written, asked, broken) = through(&table);
            prop_assert_eq!((asked.len(), broken), (rows.len(), None));
            let mut reader =
                ReaderBuilder::new().has_headers(false).delimiter(delimiter).from_reader(written.as_bytes());
            let expected: Vec<Vec<&str>> = [header.clone()]
                .into_iter()
                .chain(rows.iter().map(|row| row.iter().map(String::as_str).collect()))
                .collect();
            for (expected, record) in expected.iter().zip(reader.records()) {
                let record = record.unwrap();
                prop_assert_eq!(record.len(), header.len() + COLUMNS.len());
                prop_assert_eq!(record.iter().take(header.len()).collect::<Vec<_>>(), expected.clone());
            }
            prop_assert_eq!(reader.records().count(), 0);
        }
    }
}
