//! Tables of values parted by a sign, with a header.

use std::{
    io::{self, ErrorKind, Read},
    ops::Range,
};

use csv::{IntoInnerError, Reader, ReaderBuilder, StringRecord, Terminator, Writer, WriterBuilder};

use crate::{
    cli::{
        check::bulk::{
            added::{COLUMNS, Cells},
            beginning::{self, BYTE_ORDER_MARK},
            columns::{Field, Meaning, Said, is_ours},
            form::{Answer, BATCH_BYTES_MAX, Batch, Form, NoAnswer, ROW_BYTES_MAX, ROWS_AT_ONCE, Unreadable},
            understood::Understood,
        },
        output::counted,
    },
    lookup::Question,
};

/// What may part values, in the order in which it is tried.
const DELIMITERS: [u8; 3] = [b',', b';', b'\t'];

/// What is read from the file at once.
const BUFFER_BYTES: usize = 64 * 1024;

/// Stands behind the end of the file: a row of its own, unless a quote is open.
const END: &str = "\u{0}end\u{0}";

/// So much of what stands behind the last column is told.
const SURPLUS_CHARS_MAX: usize = 200;

/// The form of a table, as its header shows it.
#[derive(Debug)]
pub(super) struct CsvForm {
    delimiter: u8,
    terminator: Terminator,
    /// What stands before the header.
    before: String,
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
    /// What is wrong with some of them, by their place.
    problems: Vec<(usize, String)>,
    count: usize,
}

/// The rows of a table, batch by batch.
#[derive(Debug)]
pub(super) struct CsvBatches<R> {
    reader: Reader<Bounded<R>>,
    record: StringRecord,
    /// How many columns the header has.
    width: usize,
    lines_before: u64,
    ended: bool,
}

/// A reader that gives no more than a row may have, until it is told that a row has ended.
#[derive(Debug)]
struct Bounded<R> {
    input: R,
    left: usize,
    given: u64,
    /// Given behind the last byte of the file.
    end: io::Cursor<String>,
}

/// Opens a table of which `beginning` has been read: at least its header, unless that is too long.
pub(super) fn open<R: Read>(
    beginning: &[u8],
    input: R,
    meaning: &Meaning,
) -> Result<(CsvForm, CsvBatches<impl Read + use<R>>), Unreadable> {
    let text = beginning::text(beginning);
    let mark = if text.len() < beginning.len() { BYTE_ORDER_MARK } else { "" };
    let (said, text) = said_delimiter(text);
    let delimiter = said.as_ref().map_or_else(|| delimiter(text, meaning), |(delimiter, _)| *delimiter);
    let before = [mark, said.as_ref().map_or("", |(_, line)| line)].concat();
    let lines_before = said.is_some().into();
    let text = text.to_vec();
    let newline = text.iter().position(|byte| *byte == b'\n');
    let is_crlf = newline.and_then(|at| text.get(at.checked_sub(1)?)) == Some(&b'\r') || before.ends_with("\r\n");
    let terminator = if is_crlf { Terminator::CRLF } else { Terminator::Any(b'\n') };

    let end = io::Cursor::new(format!("\n{END}\n"));
    let bounded = Bounded { input: io::Cursor::new(text).chain(input), left: 0, given: 0, end };
    let reader = ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(delimiter)
        .buffer_capacity(BUFFER_BYTES)
        .from_reader(bounded);
    let mut batches = CsvBatches { reader, record: StringRecord::new(), width: 0, lines_before, ended: false };
    if !batches.read()? {
        return Err(Unreadable::Table("there is nothing in it, not even a header".to_owned()));
    }
    let mut header: Vec<Column> = batches.record.iter().map(|name| Column::named(name, meaning)).collect();
    batches.width = header.len();
    // Of several columns with a name, one is the company's, and the others are other people's.
    let rank = |column: &Column| column.field.and_then(Field::rank_of_name);
    let least = header.iter().filter_map(rank).min();
    for column in header.iter_mut().filter(|column| rank(column) > least) {
        column.field = None;
    }
    let names = || header.iter().map(|column| column.name.as_str());
    if let Some(missing) = meaning.missing(&names()) {
        let there = names().collect::<Vec<_>>().join(", ");
        return Err(Unreadable::Table(format!("there is no column {missing:?}: the header has {there}")));
    }
    if header.iter().all(|column| column.field.is_none()) {
        let found = names().collect::<Vec<_>>().join(", ");
        return Err(Unreadable::Table(format!(
            "no column of the header says anything of a company ({found}): name one of {}, or say what a column is, \
             as in --column \"HEADER=website\"",
            Field::known()
        )));
    }
    Ok((CsvForm { delimiter, terminator, before, header }, batches))
}

/// Reads the line with which Excel is told what parts values, and returns what stands behind it.
fn said_delimiter(text: &[u8]) -> (Option<(u8, &str)>, &[u8]) {
    let line = text.iter().position(|byte| *byte == b'\n').and_then(|at| text.split_at_checked(at + 1));
    if let Some((line, rest)) = line
        && let [b's' | b'S', b'e' | b'E', b'p' | b'P', b'=', delimiter, b'\n' | b'\r', ..] = line
        && let Ok(line) = str::from_utf8(line)
    {
        return (Some((*delimiter, line)), rest);
    }
    (None, text)
}

/// Returns the sign by which the header has most columns that are known, or else most columns.
fn delimiter(text: &[u8], meaning: &Meaning) -> u8 {
    let columns = |delimiter: &u8| {
        let mut record = StringRecord::new();
        let mut reader = ReaderBuilder::new().has_headers(false).delimiter(*delimiter).from_reader(text);
        // Why it cannot be read is told when it is read again.
        let _read = reader.read_record(&mut record);
        (record.iter().filter(|name| meaning.of(name).is_some()).count(), record.len())
    };
    // Of equals the last one is the greatest.
    DELIMITERS.into_iter().rev().max_by_key(columns).unwrap_or(b',')
}

impl Column {
    fn named(name: &str, meaning: &Meaning) -> Self {
        Self { name: name.to_owned(), field: meaning.of(name), is_old: is_ours(name) }
    }
}

impl<R: Read> CsvBatches<R> {
    /// Reads a record; returns whether there was one.
    fn read(&mut self) -> Result<bool, Unreadable> {
        let line = self.line();
        self.reader.get_mut().left = ROW_BYTES_MAX + BUFFER_BYTES;
        let read = self.reader.read_record(&mut self.record).map_err(|error| match error.into_kind() {
            csv::ErrorKind::Utf8 { .. } => {
                Unreadable::row(line, "this row is not UTF-8: save the file as «CSV UTF-8 (comma delimited)»")
            }
            csv::ErrorKind::Io(error) if error.kind() == ErrorKind::FileTooLarge => Unreadable::too_long(line),
            csv::ErrorKind::Io(error) => Unreadable::Input(error),
            other => Unreadable::row(line, format!("{other:?}")),
        })?;
        // The line feed before the end may still belong to the last row.
        if !read || self.reader.position().byte() <= self.reader.get_ref().given + 1 {
            return Ok(read);
        }
        if self.record.len() == 1 && self.record.get(0) == Some(END) {
            return Ok(false);
        }
        Err(Unreadable::row(
            line,
            "a quote opens in this row and is never closed, so that the rest of the file is in it",
        ))
    }

    /// The line where the next row begins, or blank lines before it.
    fn line(&self) -> u64 {
        self.reader.position().line() + self.lines_before
    }
}

impl<R: Read> Iterator for CsvBatches<R> {
    type Item = Batch<CsvRows>;

    fn next(&mut self) -> Option<Batch<CsvRows>> {
        let (mut rows, mut broken) = (CsvRows::default(), None);
        while !self.ended && rows.count < ROWS_AT_ONCE && rows.bytes() < BATCH_BYTES_MAX {
            let line = self.line();
            match self.read() {
                Ok(true) => rows.push(&self.record, self.width, line),
                Ok(false) => self.ended = true,
                Err(why) => (self.ended, broken) = (true, Some(why)),
            }
        }
        let bytes_read = self.reader.get_ref().given;
        (!rows.ends.is_empty() || broken.is_some()).then_some(Batch { rows, broken, bytes_read })
    }
}

impl CsvRows {
    /// Takes over as many cells as the header has: missing ones are empty, and others than blank ones too many.
    fn push(&mut self, record: &StringRecord, width: usize, line: u64) {
        let before = self.text.len();
        let ends = (0..record.len().min(width)).filter_map(|at| record.range(at)).map(|Range { end, .. }| end);
        self.ends.extend(ends.map(|end| before + end));
        let last = record.range(record.len().min(width).saturating_sub(1)).map_or(0, |Range { end, .. }| end);
        self.text.push_str(record.as_slice().get(..last).unwrap_or_default());
        self.ends.extend((record.len()..width).map(|_missing| self.text.len()));
        if record.iter().skip(width).any(|cell| !cell.trim().is_empty()) {
            let surplus = record.iter().skip(width).collect::<Vec<_>>().join(" | ");
            let told: String = surplus.chars().take(SURPLUS_CHARS_MAX).collect();
            let more = if told.len() < surplus.len() { "…" } else { "" };
            let (cells, columns) = (counted(record.len() as u64, "cell"), counted(width as u64, "column"));
            let why = format!(
                "line {line}: this row has {cells}, and the header {columns} (is a value that holds the sign between \
                 cells not quoted?); left out: {told}{more}"
            );
            self.problems.push((self.count, why));
        }
        self.count += 1;
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
    /// Returns what was understood of the header.
    pub(super) fn understood(&self) -> Understood {
        let columns = self.header.iter().filter(|column| !column.is_old);
        Understood::new("columns", columns.map(|column| (column.name.as_str(), column.field)))
    }

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
        Ok([self.before.as_bytes(), &head].concat())
    }

    fn questions(&self, rows: &mut CsvRows) -> Vec<Result<Question, NoAnswer>> {
        let (mut cells, mut problems) = (rows.cells(), rows.problems.iter().peekable());
        let question = |row| {
            let mut said = Said::default();
            for (column, cell) in self.header.iter().zip(cells.by_ref()) {
                if let Some(field) = column.field {
                    said.add(field, cell);
                }
            }
            match problems.next_if(|(at, _)| *at == row) {
                Some((_, why)) => Err(NoAnswer::Unreadable(why.clone())),
                None => Ok(said.question()),
            }
        };
        (0..rows.count).map(question).collect()
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

    /// Runs a table through, with the same answer for every row that can be read; also returns what was asked, and why
    /// it ended early.
    fn through(text: &[u8]) -> (String, Vec<Question>, Option<String>) {
        // What is read at the beginning may end anywhere behind the first line.
        let beginning = text.iter().position(|byte| *byte == b'\n').map_or(text.len(), |at| at + 1);
        let (beginning, rest) = text.split_at(beginning);
        let (form, batches) = match open(beginning, rest, &Meaning::default()) {
            Ok(opened) => opened,
            Err(why) => return (String::new(), Vec::new(), Some(why.to_string())),
        };
        let (mut written, mut asked, mut broken) = (form.head().unwrap(), Vec::new(), None);
        for mut batch in batches {
            let questions = form.questions(&mut batch.rows);
            let none = |question: &Result<_, NoAnswer>| {
                Err(question.as_ref().err().cloned().unwrap_or_else(|| NoAnswer::Unanswerable("none".to_owned())))
            };
            written.extend(form.write(&batch.rows, &questions.iter().map(none).collect::<Vec<_>>()).unwrap());
            asked.extend(questions.into_iter().flatten());
            broken = batch.broken.map(|why| why.to_string());
        }
        (String::from_utf8(written).unwrap(), asked, broken)
    }

    /// What stands behind every row: the verdict, empty cells and the error.
    fn answer(delimiter: char) -> String {
        format!("{delimiter}error{}none", delimiter.to_string().repeat(COLUMNS.len() - 1))
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
            ("key,n\nacme.ai,5\" x\n", format!("key,n{h}\nacme.ai,\"5\"\" x\"{a}\n")),
            ("key,n\nacme.ai,\"\"\"\"", format!("key,n{h}\nacme.ai,\"\"\"\"{a}\n")),
            ("key\n\n\nacme.ai\n", format!("key{h}\nacme.ai{a}\n")),
            ("key;n,m\nacme.ai;1,5\n", format!("key;n,m{}\nacme.ai;1,5{}\n", head(';'), answer(';'))),
            ("n\tkey\n1\tacme.ai\n", format!("n\tkey{}\n1\tacme.ai{}\n", head('\t'), answer('\t'))),
            ("key,suppressd_error,suppressd_x\nacme.ai,old,old\n", format!("key{h}\nacme.ai{a}\n")),
            ("key\n", format!("key{h}\n")),
            ("key\r", format!("key{h}\n")),
            ("key,n\nacme.ai\n", format!("key,n{h}\nacme.ai,{a}\n")),
            ("key,n\nacme.ai,1, ,\n", format!("key,n{h}\nacme.ai,1{a}\n")),
            ("key,n\nacme.ai,\"1\"\n\n \n", format!("key,n{h}\nacme.ai,1{a}\n \n").replace(" \n", &format!(" ,{a}\n"))),
            ("\u{feff}sep=;\r\nkey;n\r\nacme.ai;1", {
                format!("\u{feff}sep=;\r\nkey;n{}\r\nacme.ai;1{}\r\n", head(';'), answer(';'))
            }),
            ("sep=|\nkey|n\na,b|1\n", format!("sep=|\nkey|n{}\na,b|1{}\n", head('|'), answer('|'))),
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
            (&b"key,n\n\"acme\n.ai\",1\nacme.de,\xff\n"[..], "line 4: this row is not UTF-8: save the file as"),
            (b"sep=,\nkey,n\nacme.ai,1\nacme.de,\xff\n", "line 4: this row is not UTF-8"),
            (b"key,n\nacme.ai,1\nacme.de,\"2\nacme.fr,3\n", "line 3: a quote opens in this row and is never closed"),
            (b"key,n\nacme.ai,1\nacme.de,\"", "line 3: a quote opens"),
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
            (b"key,\"n\n1,2\n", "line 1: a quote opens"),
        ] {
            let (_, _, broken) = through(table);
            assert!(broken.as_ref().is_some_and(|broken| broken.starts_with(told)), "{broken:?}");
        }
    }

    #[test]
    fn a_row_with_too_many_cells_says_so_and_the_others_go_on() {
        let (written, asked, broken) = through(b"n,key\n1,acme.ai\n2,acme.de,\"x, y\",z\n3,acme.fr\n");
        assert_eq!((asked.len(), broken), (2, None));
        let lines: Vec<&str> = written.lines().collect();
        let told = "line 3: this row has 4 cells, and the header 2 columns (is a value that holds the sign between cells \
                    not quoted?); left out: x, y | z";
        assert_eq!(lines.get(2), Some(&&*format!("2,acme.de,error{}\"{told}\"", ",".repeat(COLUMNS.len() - 1))));
        assert_eq!(lines.len(), 4);
    }

    #[test]
    fn what_stands_at_the_end_of_a_file_may_stand_in_it() {
        let table = format!("key,n\n{END}\nacme.ai,{END}\n");
        let (written, asked, broken) = through(table.as_bytes());
        assert_eq!((asked.len(), written.matches(END).count(), broken), (2, 2, None));
    }

    #[test]
    fn of_several_names_the_companys_column_is_taken() {
        let told = |header: &str| open(header.as_bytes(), io::empty(), &Meaning::default()).unwrap().0.understood();
        assert_eq!(
            told("Name,Company,E-mail,City,suppressd_error\n").to_string(),
            "columns: name = \"Company\", location = \"City\"; not used: \"Name\", \"E-mail\""
        );
        assert_eq!(told("Name\n").to_string(), "columns: name = \"Name\"");
    }

    #[test]
    fn a_column_that_is_spoken_of_is_taken_and_has_to_be_there() {
        let opened = |said: &str| {
            let meaning = Meaning::new(vec![said.parse().unwrap()]);
            open(b"Wo;Was\n1;2\n", io::empty(), &meaning).map(|(form, _)| form.understood().to_string())
        };
        assert_eq!(opened("wo=website").unwrap(), "columns: website = \"Wo\"; not used: \"Was\"");
        let told = opened("Wer=name").unwrap_err().to_string();
        assert_eq!(told, "there is no column \"Wer\": the header has Wo, Was");
    }

    #[test]
    fn batches_are_bounded_in_rows_and_in_bytes() {
        let many = format!("key\n{}", "acme.ai\n".repeat(ROWS_AT_ONCE * 2 + 1));
        let count = |text: &str| {
            let (_, batches) = open(text.as_bytes(), io::empty(), &Meaning::default()).unwrap();
            batches.map(|batch| batch.rows.count).collect::<Vec<_>>()
        };
        assert_eq!(count(&many), [ROWS_AT_ONCE, ROWS_AT_ONCE, 1]);
        let long = format!("key\n{}", format!("{}\n", "x".repeat(BATCH_BYTES_MAX / 2)).repeat(5));
        assert_eq!(count(&long), [2, 2, 1]);
        // A cell takes memory although nothing is in it.
        let columns = BATCH_BYTES_MAX / size_of::<usize>();
        let wide = format!("key{}\n", ",".repeat(columns - 1));
        assert_eq!(count(&format!("{wide}{}", wide.repeat(3).replace("key", ""))), [1; 3]);
        assert_eq!(count(&format!("{wide}a\nb\nc\n")), [1; 3]);
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
