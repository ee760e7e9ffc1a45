//! Errors as people see them: once, on stderr, with every cause and with what to do next.

use std::{
    fmt,
    io::{self, Write},
};

use crate::cli::output::{BAD, STRONG};

/// What to do next; given to an error as its context, told after the causes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NextStep(pub &'static str);

impl fmt::Display for NextStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// Tells an error on stderr. Where even that fails, the exit status is all that is left.
pub fn tell(error: &anyhow::Error) {
    let _nobody_reads = write(error, &mut anstream::stderr());
}

/// Tells on stderr what to do next, where the output of the command has said the rest.
pub fn advise(next: &NextStep) {
    let _nobody_reads = write_next(next, &mut anstream::stderr());
}

fn write_next(next: &NextStep, writer: &mut impl Write) -> io::Result<()> {
    writeln!(writer, "{STRONG}next:{STRONG:#} {next}")
}

fn write(error: &anyhow::Error, writer: &mut impl Write) -> io::Result<()> {
    let next = error.downcast_ref::<NextStep>();
    let causes = error.chain().map(ToString::to_string).filter(|cause| next.is_none_or(|next| cause != next.0));
    let mut told = String::new();
    for cause in causes {
        match told.as_str() {
            "" => writeln!(writer, "{BAD}error:{BAD:#} {cause}")?,
            before if repeats(&cause, before) => continue,
            _ => writeln!(writer, "  because {cause}")?,
        }
        told = cause;
    }
    next.map_or(Ok(()), |next| write_next(next, writer))
}

/// Returns whether a cause only says once more what was told, as «Error code 26: file is not a database» does.
fn repeats(cause: &str, told: &str) -> bool {
    told.contains(cause.rsplit(": ").next().unwrap_or(cause))
}

#[cfg(test)]
mod tests {
    use anyhow::{Context as _, anyhow};

    use super::*;

    fn told(error: &anyhow::Error) -> String {
        let mut stream = anstream::AutoStream::never(Vec::new());
        write(error, &mut stream).unwrap();
        String::from_utf8(stream.into_inner()).unwrap()
    }

    #[test]
    fn causes_come_in_order_and_the_next_step_last() {
        let error = anyhow!("no such file").context("the database cannot be opened");
        assert_eq!(told(&error), "error: the database cannot be opened\n  because no such file\n");

        let again = anyhow!("Error code 26: no such file").context("no such file").context("it cannot be read");
        assert_eq!(told(&again), "error: it cannot be read\n  because no such file\n");

        let error = Err::<(), _>(error).context(NextStep("name another with --db-path")).unwrap_err();
        let error = error.context("nothing could be checked");
        assert_eq!(
            told(&error),
            "error: nothing could be checked\n  because the database cannot be opened\n  because no such file\n\
             next: name another with --db-path\n"
        );
    }
}
