//! `handshake`: the verification token that Notion sent.

use anyhow::anyhow;

use crate::{
    app,
    cli::{
        ExitStatus,
        args::serving::HandshakeArgs,
        failure::NextStep,
        output::{Output, WARNING},
    },
    config::Config,
    intake::handshake::instructions,
};

/// What brings a token.
const AWAIT: &str = "start `suppressd serve` and create a webhook subscription in Notion: it sends one";

/// Tells of the stored token, shows it with what to click, or forgets it.
pub(super) fn run(args: &HandshakeArgs, config: &Config) -> anyhow::Result<ExitStatus> {
    let file = app::token_file(config);
    let path = file.path().display();
    let mut output = Output::stdout();
    if args.reset {
        let done = if file.remove()? { "forgot the token" } else { "there is no token" };
        output.line(format_args!("{done} in {path}"))?;
        if !config.has_verification_token() {
            output.line(
                "every delivery is refused until the next handshake, which is taken: create the subscription anew",
            )?;
        }
    } else {
        match file.read()? {
            Some(token) if args.show => output.line(instructions(&token, file.path()))?,
            Some(_) => {
                output.line(format_args!("a token is stored in {path}"))?;
                output.line("`suppressd handshake --show` prints it with what to click in Notion")?;
            }
            None if args.show => {
                return Err(anyhow!("no token is stored in {path}").context(NextStep(AWAIT)));
            }
            None => {
                output.line(format_args!("no token is stored in {path}"))?;
                if !config.has_verification_token() {
                    output.line(AWAIT)?;
                }
            }
        }
    }
    if config.has_verification_token() {
        output.line(format_args!(
            "{WARNING}NOTION_VERIFICATION_TOKEN is set{WARNING:#}: it counts instead, and no handshake is taken"
        ))?;
    }
    Ok(ExitStatus::Success)
}
