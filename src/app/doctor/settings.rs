//! The settings: everything that is wrong with them at once, and variables that nobody reads.

use crate::{
    app::doctor::check::{Check, Group},
    config::{Config, Problem, Problems, Stranger},
};

/// Looks at the settings. `problems` kept them from being read whole.
pub(super) fn checks(config: Option<&Config>, problems: Option<&Problems>, strangers: &[Stranger]) -> Vec<Check> {
    let group = Group::Settings;
    // What only some commands need is no problem before one of them asks for it: this one asks for all.
    let missing = config.and_then(|config| config.service().err());
    let mut told: Vec<&Problem> = Vec::new();
    for problem in problems.into_iter().chain(&missing).flat_map(Problems::iter) {
        if !told.contains(&problem) {
            told.push(problem);
        }
    }
    let mut checks: Vec<Check> =
        told.into_iter().map(|problem| group.failed("value", problem.found(), problem.mend())).collect();
    if let (Some(config), true) = (config, checks.is_empty()) {
        let from = match config.settings_file() {
            Some(file) => format!("read from {} and the environment", file.display()),
            None => "read from the environment; there is no settings file".to_owned(),
        };
        checks.push(group.well("values", from));
    }
    if config.is_none() {
        let why = "the settings name some of the variables, and cannot be read";
        checks.push(group.skipped("environment", why));
        return checks;
    }
    for stranger in strangers {
        let fix = match &stranger.meant {
            Some(meant) => format!("did you mean {meant}?"),
            None => "unset it; `suppressd config print --help` lists every variable".to_owned(),
        };
        checks.push(group.warning("environment", format!("nobody reads {}", stranger.name), fix));
    }
    if strangers.is_empty() {
        checks.push(group.well("environment", "no variable looks like ours and is none"));
    }
    checks
}
