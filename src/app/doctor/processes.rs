//! Who works on the database, how that process is, and whether it reads what these settings say.

use chrono::{DateTime, Utc};

use crate::{
    app::{
        doctor::{
            check::{Check, Group},
            known::Known,
        },
        rights,
    },
    causes::told,
    config::Config,
    duration,
    lookup::status::Running,
    model::id::TableId,
    sources::SourceSettings,
    store::StoredSource,
};

const GROUP: Group = Group::Processes;

/// Looks at the processes.
pub(super) fn checks(
    config: &Config,
    known: &Result<Known, String>,
    sources: &[SourceSettings],
    now: DateTime<Utc>,
) -> Vec<Check> {
    let [serve, work] = match rights::holders(&config.db_path) {
        Ok(holders) => holders,
        Err(error) => return vec![GROUP.failed("locks", told(&error), "may this user read the files beside it?")],
    };
    let running = known.as_ref().ok().and_then(|known| known.status.running.as_ref());
    let mut checks = vec![serve_check(serve.as_deref(), running, now)];
    if serve.is_some() {
        checks.extend(running.into_iter().flat_map(|running| &running.problems).map(|(part, problem)| {
            let fix = "`suppressd status` follows it, its log tells more";
            GROUP.failed(format!("serve: {part}"), problem, fix)
        }));
    }
    checks.push(match (work, serve.is_some()) {
        (Some(_), true) => GROUP.well("work", "the running serve has the right to ask Notion"),
        (None, true) => GROUP.warning("work", "the running serve does not ask Notion yet", "look again in a minute"),
        (Some(process), false) => GROUP.well("work", format!("{} works on it, a command", process_of(&process))),
        (None, false) => GROUP.well("work", "nobody works on it at the moment"),
    });
    checks.push(match known {
        Ok(known) if serve.is_some() => sources_check(&known.stored, sources, running),
        Ok(_) => GROUP.skipped("sources", "no serve runs to compare them with"),
        Err(why) => GROUP.skipped("sources", why),
    });
    checks
}

fn process_of(process: &str) -> String {
    if process.is_empty() { "another process".to_owned() } else { format!("process {process}") }
}

fn serve_check(holder: Option<&str>, running: Option<&Running>, now: DateTime<Utc>) -> Check {
    let name = "serve";
    let heard = |running: &Running| duration::told((now - running.at).num_seconds().max(0).unsigned_abs());
    let start = "start it (`systemctl start suppressd`); its log says why it ended";
    match (holder, running) {
        (Some(process), Some(running)) if running.is_alive(now) => {
            GROUP.well(name, format!("{} runs and spoke {} ago", process_of(process), heard(running)))
        }
        (Some(process), _) => GROUP.warning(
            name,
            format!("{} runs, and does not say how it is", process_of(process)),
            "look again in a minute; then look at its log, and start it anew",
        ),
        (None, Some(running)) if running.stopped => {
            GROUP.warning(name, format!("stopped {} ago, and no other was started", heard(running)), start)
        }
        (None, Some(running)) => GROUP.failed(
            name,
            format!("process {} died: it was last heard of {} ago", running.pid, heard(running)),
            start,
        ),
        (None, None) => GROUP.skipped(name, "none has ever run on this database"),
    }
}

fn sources_check(stored: &[StoredSource], sources: &[SourceSettings], running: Option<&Running>) -> Check {
    let is_read = |source: &&SourceSettings| {
        stored.iter().filter(|stored| stored.retired_at.is_none()).any(|stored| is_of(stored, source))
    };
    let unread: Vec<&str> =
        sources.iter().filter(|source| !is_read(source)).map(|source| source.name.as_str()).collect();
    let strange: Vec<String> = stored
        .iter()
        .filter(|stored| stored.retired_at.is_none() && !sources.iter().any(|source| is_of(stored, source)))
        .map(|stored| stored.id.to_string())
        .collect();
    let fix = "start `serve` with the settings that this command has, or run this with those of `serve`";
    match (unread.as_slice(), strange.as_slice()) {
        ([], []) => GROUP.well("sources", "the running serve reads those of these settings"),
        ([], strange) => {
            let found = format!("the running serve reads {}, which these settings do not name", strange.join(", "));
            GROUP.warning("sources", found, fix)
        }
        (unread, _) if let Some(why) = running.and_then(|running| why_unread(unread, running)) => {
            let found = format!("the running serve cannot read {}: {why}", unread.join(", "));
            GROUP.warning("sources", found, "`suppressd status` follows it, and it tries again by itself")
        }
        (unread, _) => {
            let found = format!("the running serve does not read {}, which these settings name", unread.join(", "));
            GROUP.warning("sources", found, fix)
        }
    }
}

/// Returns what the running serve says of why it cannot read any of these sources, if it does.
fn why_unread(unread: &[&str], running: &Running) -> Option<String> {
    let troubles: Vec<&str> =
        unread.iter().filter_map(|name| running.sources.get(*name)).map(|trouble| trouble.what.as_str()).collect();
    let silent = || running.problems.get("notion").cloned();
    if troubles.is_empty() { silent() } else { Some(troubles.join("; ")) }
}

fn is_of(stored: &StoredSource, source: &SourceSettings) -> bool {
    match source.table {
        TableId::DataSource(id) => stored.id == id,
        TableId::Database(id) => stored.database == Some(id),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn why_a_source_is_not_read_is_said_as_the_serve_says_it() {
        let running = |problems, sources| -> Running {
            let at = "2026-11-22T12:00:00Z";
            serde_json::from_value(json!({
                "at": at, "pid": 1, "queue": 0, "looks": 0, "budgets": [], "problems": problems, "sources": sources,
            }))
            .unwrap()
        };
        let silent = json!({"notion": "Notion cannot be reached", "worker": "ended"});
        let refused = json!({"portfolio": {"what": "its token is refused", "is_refused": true}});
        for (problems, sources, expected) in [
            (json!({}), json!({}), None),
            (json!({"worker": "ended"}), json!({}), None),
            (silent.clone(), json!({}), Some("Notion cannot be reached")),
            (silent, refused.clone(), Some("its token is refused")),
            (json!({}), refused, Some("its token is refused")),
        ] {
            assert_eq!(why_unread(&["portfolio"], &running(problems, sources)).as_deref(), expected);
        }
    }
}
