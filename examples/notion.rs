//! A simulated Notion workspace by itself, to try an installation on: its API on a free port of this machine, and, once
//! a webhook address is given, a subscription that is verified by hand and then tells what changes.
//!
//! `cargo run --example notion -- http://127.0.0.1:8080/webhooks/notion` prints the settings for suppressd. Each line
//! that is typed then does something: `handshake` sends the verification token, `change` changes a page and delivers the event.
#![expect(clippy::print_stdout, reason = "it talks to who runs it")]

use std::error::Error;

use suppressd::simulator::{
    Settings, Simulator,
    scenario::Scenario,
    webhooks::{Delivering, Handshake},
};

/// How many companies the workspace holds in the beginning.
const COMPANIES: usize = 40;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let simulator = Simulator::start(Settings::default()).await?;
    let mut people = Scenario::new(7);
    people.populate(simulator.workspace(), COMPANIES);
    let target = std::env::args().nth(1).unwrap_or_else(|| "http://127.0.0.1:8080/webhooks/notion".to_owned());
    let webhooks = simulator.webhooks(&target, Delivering::default())?;

    println!("NOTION_BASE_URL={}", simulator.base_url());
    println!("NOTION_API_KEY={}", simulator.token());
    println!("NOTION_DATABASE_ID={}", simulator.workspace().database());
    for line in std::io::stdin().lines() {
        match line?.trim() {
            "handshake" => {
                let answered = webhooks.handshake(Handshake::Signed).await;
                println!("handshake: {answered:?}");
            }
            "change" => {
                let happening = people.step(simulator.workspace());
                println!("{}", happening.what);
                for delivery in webhooks.deliver_all().await {
                    println!("{}: {:?}", delivery.event.kind, delivery.status);
                }
            }
            other => println!("{other:?} is neither `handshake` nor `change`"),
        }
    }
    simulator.stop().await;
    Ok(())
}
