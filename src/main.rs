//! The `suppressd` program: parses, runs, and says with its exit status how that went.

use std::process::ExitCode;

use clap::Parser as _;
use suppressd::cli::{self, Args, ExitStatus, failure};

fn main() -> ExitCode {
    match cli::run(&Args::parse()) {
        Ok(status) => status.into(),
        Err(error) => {
            failure::tell(&error);
            ExitStatus::Failure.into()
        }
    }
}
