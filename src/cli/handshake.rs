//! `handshake`: the verification tokens that Notion sent.

use anyhow::{anyhow, bail};

use crate::{
    app,
    cli::{
        ExitStatus,
        args::serving::HandshakeArgs,
        failure::NextStep,
        output::{Output, WARNING},
    },
    config::{Config, Subscription},
    intake::handshake::instructions,
};

/// What brings a token.
const AWAIT: &str = "start `suppressd serve` and create a webhook subscription in Notion: it sends one";

/// Tells of the stored tokens, shows them with what to click, or forgets one.
pub(super) fn run(args: &HandshakeArgs, config: &Config) -> anyhow::Result<ExitStatus> {
    let all = config.subscriptions();
    let meant = match &args.source {
        None => all.iter().collect::<Vec<_>>(),
        Some(name) => vec![of_source(&all, name)?],
    };
    let mut output = Output::stdout();
    if args.reset {
        if args.all {
            for subscription in &meant {
                reset(&mut output, &[subscription])?;
            }
        } else {
            reset(&mut output, &meant)?;
        }
        if args.source.is_some() {
            warn_of_others(&mut output, &meant, &all)?;
        }
    } else if args.show {
        show(&mut output, &meant)?;
    } else {
        for subscription in &meant {
            tell(&mut output, subscription, all.len() > 1)?;
        }
    }
    for subscription in meant.iter().filter(|subscription| subscription.is_configured) {
        let variable = &subscription.variable;
        output.line(format_args!(
            "{WARNING}{variable} is set{WARNING:#}: it counts instead, and no handshake is taken for it"
        ))?;
    }
    Ok(ExitStatus::Success)
}

fn of_source<'s>(all: &'s [Subscription], name: &str) -> anyhow::Result<&'s Subscription> {
    let found = all.iter().find(|subscription| subscription.sources.iter().any(|source| source == name));
    found.ok_or_else(|| {
        let names: Vec<_> = all.iter().flat_map(|subscription| subscription.sources.iter().cloned()).collect();
        anyhow!("no source is called {name:?}: the settings have {}", names.join(", "))
    })
}

fn reset<W: std::io::Write>(output: &mut Output<W>, meant: &[&Subscription]) -> anyhow::Result<()> {
    let mut stored = Vec::new();
    for subscription in meant {
        // What is no token any more is there to be forgotten, too.
        if !matches!(app::token_file(subscription).read(), Ok(None)) {
            stored.push(*subscription);
        }
    }
    let subscription = match (stored.as_slice(), meant) {
        ([only], _) | ([], [only, ..]) => *only,
        ([], []) => return Ok(()),
        (several, _) => {
            let which: Vec<_> = several.iter().map(|subscription| named(subscription)).collect();
            bail!(
                anyhow!("several tokens are stored: {}", which.join("; "))
                    .context(NextStep("say whose is to be forgotten with --source, or forget all of them with --all"))
            )
        }
    };
    let file = app::token_file(subscription);
    let done = if file.remove()? { "forgot the token" } else { "there is no token" };
    output.line(format_args!("{done} in {}", file.path().display()))?;
    if !subscription.is_configured {
        output.line(
            "every delivery that it signs is refused until the next handshake, which is taken: create the subscription anew",
        )?;
    }
    Ok(())
}

/// A handshake does not say whose it is, so that a token can lie where that of another connection belongs.
fn warn_of_others<W: std::io::Write>(
    output: &mut Output<W>,
    meant: &[&Subscription],
    all: &[Subscription],
) -> anyhow::Result<()> {
    let others = all.iter().filter(|other| !meant.contains(other) && !other.is_configured);
    for other in others.filter(|other| matches!(app::token_file(other).read(), Ok(Some(_)))) {
        output.line(format_args!("{WARNING}a token is stored for {}{WARNING:#}", named(other)))?;
        output.line(
            "it may be the one that is meant here: a handshake does not say whose it is, and one that is known already \
             is not taken again. Where «Resend token» brings nothing, forget every stored token with `suppressd handshake \
             --reset --all`, and let Notion send that of each connection again",
        )?;
    }
    Ok(())
}

fn show<W: std::io::Write>(output: &mut Output<W>, meant: &[&Subscription]) -> anyhow::Result<()> {
    let mut is_shown = false;
    for subscription in meant {
        let file = app::token_file(subscription);
        if let Some(token) = file.read()? {
            is_shown = true;
            if meant.len() > 1 {
                output.line(format_args!("For {}:", named(subscription)))?;
            }
            output.line(instructions(&token, file.path()))?;
        }
    }
    let paths: Vec<_> = meant.iter().map(|subscription| subscription.token_path.display().to_string()).collect();
    if is_shown {
        return Ok(());
    }
    Err(anyhow!("no token is stored in {}", paths.join(" or ")).context(NextStep(AWAIT)))
}

fn tell<W: std::io::Write>(output: &mut Output<W>, subscription: &Subscription, is_one_of: bool) -> anyhow::Result<()> {
    let file = app::token_file(subscription);
    let path = file.path().display();
    if is_one_of {
        output.line(format_args!("{}:", named(subscription)))?;
    }
    if file.read()?.is_some() {
        output.line(format_args!("a token is stored in {path}"))?;
        output.line("`suppressd handshake --show` prints it with what to click in Notion")?;
    } else {
        output.line(format_args!("no token is stored in {path}"))?;
        if !subscription.is_configured {
            output.line(AWAIT)?;
        }
    }
    Ok(())
}

/// Names a subscription by its sources and its variable.
fn named(subscription: &Subscription) -> String {
    match subscription.sources.as_slice() {
        [] => format!("no source ({})", subscription.variable),
        [source] => format!("source {source} ({})", subscription.variable),
        sources => format!("sources {} ({})", sources.join(", "), subscription.variable),
    }
}
