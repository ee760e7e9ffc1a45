//! What commands write to stdout: lines and tables for people, JSON for machines.
//!
//! Colours appear only on a terminal, and never where `NO_COLOR` is set. That the reader has gone (`| head`) is not an
//! error. Text from the CRM goes through [`plain`], so that nobody's company name can move the cursor.

use std::{
    borrow::Cow,
    fmt::Display,
    io::{self, ErrorKind, Stdout, Write},
};

use anstream::AutoStream;
use anstyle::{AnsiColor, Style};
use serde::Serialize;

/// For what should stand out.
pub const STRONG: Style = Style::new().bold();
/// For what is good.
pub const GOOD: Style = AnsiColor::Green.on_default();
/// For what asks for attention.
pub const WARNING: Style = AnsiColor::Yellow.on_default();
/// For what is bad.
pub const BAD: Style = AnsiColor::Red.on_default().bold();

/// The writer of all commands.
#[derive(Debug)]
pub struct Output<W> {
    writer: W,
    reader_gone: bool,
}

impl Output<AutoStream<Stdout>> {
    /// Writes to stdout, in colour where somebody can see it.
    pub fn stdout() -> Self {
        Self::new(AutoStream::auto(io::stdout()))
    }

    /// Writes to stdout for a program that reads it: nothing is taken for a style and left out.
    pub fn unchanged() -> Self {
        Self::new(AutoStream::always_ansi(io::stdout()))
    }
}

impl<W: Write> Output<W> {
    /// Writes to `writer`.
    pub const fn new(writer: W) -> Self {
        Self { writer, reader_gone: false }
    }

    /// Writes a line.
    pub fn line(&mut self, text: impl Display) -> io::Result<()> {
        self.unless_gone(|writer| writeln!(writer, "{text}"))
    }

    /// Writes a value as one line of JSON. What a terminal would obey stands in it as an escape of JSON.
    pub fn json(&mut self, value: &impl Serialize) -> io::Result<()> {
        let json = serde_json::to_string(value)?;
        if !json.contains(is_obeyed) {
            return self.line(json);
        }
        let escaped = json.chars().map(|c| match c {
            c if is_obeyed(c) => Cow::from(format!("\\u{:04x}", u32::from(c))),
            c => Cow::from(c.to_string()),
        });
        self.line(escaped.collect::<String>())
    }

    /// Writes a table, its columns aligned.
    pub fn table(&mut self, table: &Table) -> io::Result<()> {
        self.unless_gone(|writer| table.write(writer))
    }

    /// Returns whether the reader is known to have gone: nothing more needs to be written.
    pub const fn is_unread(&self) -> bool {
        self.reader_gone
    }

    fn unless_gone(&mut self, write: impl FnOnce(&mut W) -> io::Result<()>) -> io::Result<()> {
        if self.reader_gone {
            return Ok(());
        }
        match write(&mut self.writer).and_then(|()| self.writer.flush()) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                self.reader_gone = true;
                Ok(())
            }
            written => written,
        }
    }
}

/// Rows under headings.
#[derive(Debug, Clone)]
pub struct Table {
    headings: Vec<&'static str>,
    rows: Vec<Vec<(String, Style)>>,
}

impl Table {
    /// Makes a table without rows.
    pub fn new(headings: impl Into<Vec<&'static str>>) -> Self {
        Self { headings: headings.into(), rows: Vec::new() }
    }

    /// Adds a row, with a cell for each heading.
    pub fn row<C: AsRef<str>>(&mut self, cells: impl IntoIterator<Item = C>) {
        self.row_styled(cells.into_iter().map(|cell| (cell, Style::new())));
    }

    /// Adds a row, with a cell for each heading and how it is to look.
    pub fn row_styled<C: AsRef<str>>(&mut self, cells: impl IntoIterator<Item = (C, Style)>) {
        self.rows.push(cells.into_iter().map(|(cell, style)| (plain(cell.as_ref()).into_owned(), style)).collect());
    }

    fn write(&self, writer: &mut impl Write) -> io::Result<()> {
        let widths: Vec<usize> = (0..self.headings.len())
            .map(|at| {
                let cells = self.rows.iter().filter_map(|row| row.get(at)).map(|(cell, _)| cell.chars().count());
                cells.chain(self.headings.get(at).map(|heading| heading.len())).max().unwrap_or(0)
            })
            .collect();
        let headings: Vec<_> = self.headings.iter().map(|heading| ((*heading).to_owned(), STRONG)).collect();
        [&headings].into_iter().chain(&self.rows).try_for_each(|row| writeln!(writer, "{}", aligned(row, &widths)))
    }
}

fn aligned(cells: &[(String, Style)], widths: &[usize]) -> String {
    let filled = cells.iter().rposition(|(cell, _)| !cell.is_empty()).map_or(0, |last| last + 1);
    let padded: Vec<String> = (1..=filled)
        .zip(cells.iter().zip(widths))
        .map(|(nth, ((cell, style), width))| {
            let blanks = if nth == filled { 0 } else { width.saturating_sub(cell.chars().count()) };
            let style = if cell.is_empty() { Style::new() } else { *style };
            format!("{style}{cell}{style:#}{:blanks$}", "")
        })
        .collect();
    padded.join("  ")
}

/// Writes a number with what it counts: «1 event», «3 events».
pub fn counted(number: u64, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// Cells of tables are cut after this many characters, where the CRM may have put anything into them.
const SHORT_CHARS_MAX: usize = 60;

/// Writes the beginning of a text from the CRM, without control characters.
pub fn short(text: &str) -> String {
    let mut rest = text.chars();
    let start: String = rest.by_ref().take(SHORT_CHARS_MAX).collect();
    let end = if rest.next().is_some() { "…" } else { "" };
    format!("{}{end}", plain(&start))
}

/// Returns whether a terminal does something else with a character than to show it where it stands.
fn is_obeyed(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Replaces control characters, which a terminal would obey, and those that turn the rest of a line around.
pub fn plain(text: &str) -> Cow<'_, str> {
    if text.contains(is_obeyed) { text.replace(is_obeyed, "\u{fffd}").into() } else { text.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Output<AutoStream<Vec<u8>>>) -> io::Result<()>) -> String {
        let mut output = Output::new(AutoStream::never(Vec::new()));
        write(&mut output).unwrap();
        String::from_utf8(output.writer.into_inner()).unwrap()
    }

    #[test]
    fn columns_are_aligned_and_lines_have_no_blanks_at_the_end() {
        let mut table = Table::new(["KEY", "STATUS"]);
        table.row(["domain:acme.ai", "Lost"]);
        table.row(["name_loc:ü", ""]);
        let text = written(|output| output.table(&table));
        assert_eq!(text, "KEY             STATUS\ndomain:acme.ai  Lost\nname_loc:ü\n");
    }

    #[test]
    fn a_style_takes_no_room_and_is_seen_only_on_a_terminal() {
        let mut table = Table::new(["A", "B", "C"]);
        table.row_styled([("x", GOOD), ("", BAD), ("z", Style::new())]);
        assert_eq!(written(|output| output.table(&table)), "A  B  C\nx     z\n");
        let mut output = Output::new(AutoStream::always(Vec::new()));
        output.table(&table).unwrap();
        let coloured = String::from_utf8(output.writer.into_inner()).unwrap();
        assert!(coloured.ends_with(&format!("\n{GOOD}x{GOOD:#}     z\n")), "{coloured:?}");
    }

    #[test]
    fn text_from_elsewhere_cannot_move_the_cursor() {
        let mut table = Table::new(["NAME"]);
        table.row(["Acme\x1b[2J\nLtd"]);
        assert_eq!(written(|output| output.table(&table)), "NAME\nAcme\u{fffd}[2J\u{fffd}Ltd\n");
        // A terminal that knows of right and left would show this as «Acme: clear …».
        assert_eq!(plain("Acme\u{202e}raelc :\u{2066}\u{2028}"), "Acme\u{fffd}raelc :\u{fffd}\u{fffd}");
        assert_eq!(plain("\u{5d0}\u{200f}!"), "\u{5d0}\u{200f}!");
    }

    #[test]
    fn json_is_one_line() {
        assert_eq!(written(|output| output.json(&[Some("a\nb"), None])), "[\"a\\nb\",null]\n");
    }

    #[test]
    fn json_says_all_and_moves_no_cursor() {
        let text = "Ac\u{7f}me\u{9b}2J\u{202e}\u{1b}[2J é";
        let json = written(|output| output.json(&text));
        assert_eq!(json, "\"Ac\\u007fme\\u009b2J\\u202e\\u001b[2J é\"\n");
        assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
    }

    #[test]
    fn styles_are_stripped_where_nobody_sees_them() {
        assert_eq!(written(|output| output.line(format_args!("{GOOD}clear{GOOD:#}"))), "clear\n");
    }

    /// A writer that fails, and counts how often it was asked.
    struct Failing(ErrorKind, u32);

    impl Write for Failing {
        fn write(&mut self, _buffer: &[u8]) -> io::Result<usize> {
            self.1 += 1;
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_has_gone_is_no_error_and_is_not_written_to_again() {
        let mut output = Output::new(Failing(ErrorKind::BrokenPipe, 0));
        output.line("one").unwrap();
        output.line("two").unwrap();
        assert_eq!((output.writer.1, output.is_unread()), (1, true));
        assert!(Output::new(Failing(ErrorKind::StorageFull, 0)).line("one").is_err());
    }
}
