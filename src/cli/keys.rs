//! `keys`: the keys that identifiers give.

use crate::{
    app,
    cli::{
        ExitStatus,
        args::asking::KeysArgs,
        output::{Output, Table, WARNING},
    },
    config::Config,
    lookup::keys::{self, Keys},
    model::key::Strength,
};

/// Shows the keys of all values and options, and what gives none.
pub(super) fn run(args: &KeysArgs, config: &Config) -> anyhow::Result<ExitStatus> {
    let rules = app::rules(config)?;
    let keys = keys::keys(&args.company.values, &args.company.company(), &rules);
    let mut output = Output::stdout();
    if args.json {
        output.json(&keys)?;
    } else {
        tell(&keys, &mut output)?;
    }
    Ok(if keys.keys.is_empty() { ExitStatus::Failure } else { ExitStatus::Success })
}

fn tell<W: std::io::Write>(keys: &Keys, output: &mut Output<W>) -> std::io::Result<()> {
    if !keys.keys.is_empty() {
        let mut table = Table::new(["KEY", "STRENGTH", "TRUST", "FROM"]);
        for listed in &keys.keys {
            let strength = match listed.strength {
                Strength::Strong => "strong",
                Strength::Weak => "weak",
            };
            table.row([listed.key.as_str(), strength, &listed.trust.to_string(), listed.origin.name()]);
        }
        output.table(&table)?;
    }
    for unusable in &keys.unusable {
        output.line(format_args!("{WARNING}no key{WARNING:#}: {unusable}"))?;
    }
    Ok(())
}
