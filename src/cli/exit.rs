//! What the program's exit status says to scripts.

use std::process::ExitCode;

use crate::model::verdict::Answer;

/// Every exit status. `check` answers as `grep` does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitStatus {
    /// Done; of `check`: suppressed.
    Success = 0,
    /// Of `check`: clear; of `health`: not well.
    Clear = 1,
    /// An error, told on stderr.
    Failure = 2,
    /// Of `check`: stale; of a sweep: partial.
    Stale = 3,
}

impl ExitStatus {
    /// Of `doctor` and `schema validate`: nothing failed, and something asks for attention.
    pub const ATTENTION: Self = Self::Clear;
}

/// The same for people.
pub(crate) const EXIT_STATUSES: &str = "\
Exit status:
  0  done; of check: suppressed, do not push
  1  of check: clear, the CRM does not hold it; of health: not well; of doctor
     and schema validate: something asks for attention
  2  an error, told on stderr
  3  of check: stale, what is known is too old to say; of a sweep: partial";

impl From<ExitStatus> for ExitCode {
    fn from(status: ExitStatus) -> Self {
        (status as u8).into()
    }
}

impl From<Answer> for ExitStatus {
    fn from(answer: Answer) -> Self {
        match answer {
            Answer::Suppressed => Self::Success,
            Answer::Clear => Self::Clear,
            Answer::Stale => Self::Stale,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_tells_what_each_answer_exits_with() {
        for answer in [Answer::Suppressed, Answer::Clear, Answer::Stale] {
            let line = format!("\n  {}  ", ExitStatus::from(answer) as u8);
            let told = EXIT_STATUSES.split(&line).nth(1).and_then(|rest| rest.lines().next());
            assert!(told.is_some_and(|told| told.contains(&format!("check: {}", answer.name()))), "{told:?}");
        }
    }
}
