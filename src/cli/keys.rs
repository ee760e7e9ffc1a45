//! `keys`: the keys that identifiers give.

use std::collections::HashSet;

use serde::Serialize;

use crate::{
    app,
    cli::{
        ExitStatus,
        args::asking::KeysArgs,
        output::{Output, Table, WARNING},
    },
    config::Config,
    derive::{self, Derived},
    model::{
        key::{Candidate, Strength},
        verdict::Company,
    },
};

/// Shows the keys of all values and options, and what gives none.
pub(super) fn run(args: &KeysArgs, config: &Config) -> anyhow::Result<ExitStatus> {
    let rules = app::rules(config)?;
    let mut derived: Vec<Derived> =
        args.company.values.iter().map(|value| derive::text_candidates(value, &rules)).collect();
    let company = args.company.company();
    if company != Company::default() {
        derived.push(derive::company_candidates(&company, &rules));
    }
    let (mut keys, mut known) = (Keys::default(), HashSet::new());
    for one in &derived {
        let new = one.candidates.iter().filter(|candidate| known.insert(candidate.key.as_str()));
        keys.keys.extend(new.map(Listed::new));
        keys.unusable.extend(one.unused.iter().map(ToString::to_string));
    }
    // Each value has its own in order of trust; among equals they stay as the values stand.
    keys.keys.sort_by_key(|key| std::cmp::Reverse(key.trust));
    let mut output = Output::stdout();
    if args.json {
        output.json(&keys)?;
    } else {
        keys.tell(&mut output)?;
    }
    Ok(if keys.keys.is_empty() { ExitStatus::Failure } else { ExitStatus::Success })
}

#[derive(Default, Serialize)]
struct Keys {
    keys: Vec<Listed>,
    unusable: Vec<String>,
}

#[derive(Serialize)]
struct Listed {
    key: String,
    strength: Strength,
    trust: u8,
    origin: &'static str,
}

impl Listed {
    fn new(candidate: &Candidate) -> Self {
        let prefix = candidate.key.prefix();
        Self {
            key: candidate.key.to_string(),
            strength: prefix.strength(),
            trust: prefix.trust(),
            origin: candidate.origin.name(),
        }
    }
}

impl Keys {
    fn tell<W: std::io::Write>(&self, output: &mut Output<W>) -> std::io::Result<()> {
        if !self.keys.is_empty() {
            let mut table = Table::new(["KEY", "STRENGTH", "TRUST", "FROM"]);
            for listed in &self.keys {
                let strength = match listed.strength {
                    Strength::Strong => "strong",
                    Strength::Weak => "weak",
                };
                table.row([listed.key.as_str(), strength, &listed.trust.to_string(), listed.origin]);
            }
            output.table(&table)?;
        }
        for unusable in &self.unusable {
            output.line(format_args!("{WARNING}no key{WARNING:#}: {unusable}"))?;
        }
        Ok(())
    }
}
