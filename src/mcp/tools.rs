//! The tools: what clients are shown of each, and the call of each.

use std::{convert::Infallible, future::pending, time::Duration};

use rmcp::{
    RoleServer,
    model::{CallToolResult, ContentBlock, JsonObject, Tool, ToolAnnotations},
    service::RequestContext,
};
use schemars::JsonSchema;
use serde::Serialize;
use tokio::{select, sync::watch};

use crate::{
    lookup::{
        LookupError, Question, Terms,
        explain::Explanation,
        issues::Issues,
        keys::{self, Keys},
        schema::SchemaReport,
        status::Status,
    },
    mcp::{Desk, Server, Swept, Trouble, arguments, progress, say},
    model::{sweep::SweepReport, verdict::Verdict},
};

/// A tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Name {
    CheckSuppression,
    Explain,
    BuildCanonicalKeys,
    SyncSuppressionCache,
    ValidateNotionSchema,
    CacheStatus,
    ListIssues,
}

impl Name {
    pub(super) const ALL: [Self; 7] = [
        Self::CheckSuppression,
        Self::Explain,
        Self::BuildCanonicalKeys,
        Self::SyncSuppressionCache,
        Self::ValidateNotionSchema,
        Self::CacheStatus,
        Self::ListIssues,
    ];

    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::CheckSuppression => "check_suppression",
            Self::Explain => "explain",
            Self::BuildCanonicalKeys => "build_canonical_keys",
            Self::SyncSuppressionCache => "sync_suppression_cache",
            Self::ValidateNotionSchema => "validate_notion_schema",
            Self::CacheStatus => "cache_status",
            Self::ListIssues => "list_issues",
        }
    }

    pub(super) fn of(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|name| name.text() == text)
    }

    const fn title(self) -> &'static str {
        match self {
            Self::CheckSuppression => "May this company be pushed?",
            Self::Explain => "Why is this answered so?",
            Self::BuildCanonicalKeys => "The keys of a company",
            Self::SyncSuppressionCache => "Make the cache right",
            Self::ValidateNotionSchema => "Does the CRM's schema fit?",
            Self::CacheStatus => "How fresh is the cache?",
            Self::ListIssues => "What should be mended?",
        }
    }

    const fn description(self) -> &'static str {
        match self {
            Self::CheckSuppression => {
                "Says of one company or of many whether the CRM holds it. Ask before you push, contact or add a company, \
                 with everything that you know of it: one call with `query` (a key, domain or web address), or with the \
                 fields of a company, or with `queries` or `companies` for up to 1,000.\n\n\
                 Only the verdict `clear` is a go-ahead. `suppressed`: the CRM holds it; with firmness `hard` do not \
                 touch it, with `soft` it is in the pipeline and may be updated, not pushed anew. `stale`: what is known \
                 is too old to say, which is not clear; `max_age` has its page fetched anew, and `reason` says what \
                 else helps. `possible` lists companies with a like name: they decide nothing, show them to a person."
            }
            Self::Explain => {
                "Says why a key, domain or web address is answered as it is: its row, the pages that claim it, which of \
                 them wins and by which rule, events that still wait, and every change of it with the event, sweep or \
                 replay that caused it."
            }
            Self::BuildCanonicalKeys => {
                "Shows the canonical keys that identifiers give, such as `domain:acme.ai`, in order of trust, and what \
                 gives none and why. These are the keys under which check_suppression looks. Neither the cache nor \
                 Notion is asked."
            }
            Self::SyncSuppressionCache => {
                "Reads every page of the CRM from Notion, once, and makes the cache right whatever was missed; returns \
                 the statistics. It may take minutes: give a progress token to hear how far it is. With `dry_run` it \
                 only says what it would change. Rows go on proof only, so that nothing can be lost by it; a `serve` \
                 does the same every night. A `partial` or `failed` outcome has removed nothing. Where a \
                 `suppressd serve` runs, that does the work, and goes on with it if this call is cancelled."
            }
            Self::ValidateNotionSchema => {
                "Says for each source of the CRM which property plays which role, whether its type can give what the role \
                 needs, which name may be meant where one is missing, and whether the statuses that mean «do not touch» \
                 exist. Reads the schema from Notion where that may be asked, else judges the one that was read last and \
                 says how old it is. Changes nothing."
            }
            Self::CacheStatus => {
                "Says how fresh the cache is, what waits and what is wrong: the running `serve`, the inbox, the cache in \
                 figures, each source with the instant up to which it is proven, the last and the next sweep."
            }
            Self::ListIssues => {
                "Lists what a person should mend in the CRM or the settings, with links: pages without a key, keys that \
                 several pages hold, values that give no key, unknown statuses, pages that Notion no longer shows. \
                 `counts` counts all; `next` is the `after` of the next call. A person mends them, not you."
            }
        }
    }

    fn annotations(self) -> ToolAnnotations {
        let annotations = ToolAnnotations::with_title(self.title());
        match self {
            // A fetch for `max_age` refreshes a row of the cache, which changes what is known and not what is there.
            Self::CheckSuppression | Self::ValidateNotionSchema => annotations.read_only(true).open_world(true),
            Self::Explain | Self::BuildCanonicalKeys | Self::CacheStatus | Self::ListIssues => {
                annotations.read_only(true).open_world(false)
            }
            // It removes rows, but only those that the CRM no longer stands for.
            Self::SyncSuppressionCache => {
                annotations.read_only(false).destructive(false).idempotent(true).open_world(true)
            }
        }
    }
}

/// Every tool, as clients are shown it.
pub(super) fn all() -> Vec<Tool> {
    Name::ALL.map(described).into()
}

/// A tool, as clients are shown it.
pub(super) fn described(name: Name) -> Tool {
    let tool = Tool::new(name.text(), name.description(), JsonObject::new())
        .with_title(name.title())
        .with_annotations(name.annotations());
    match name {
        Name::CheckSuppression => {
            arguments::with_company(tool.with_input_schema::<arguments::Check>()).with_output_schema::<Checked>()
        }
        Name::Explain => tool.with_input_schema::<arguments::Explain>().with_output_schema::<Explanation>(),
        Name::BuildCanonicalKeys => {
            arguments::with_company(tool.with_input_schema::<arguments::Keys>()).with_output_schema::<Keys>()
        }
        Name::SyncSuppressionCache => tool.with_input_schema::<arguments::Sync>().with_output_schema::<SweepReport>(),
        Name::ValidateNotionSchema => arguments::none(tool).with_output_schema::<SchemaReport>(),
        Name::CacheStatus => arguments::none(tool).with_output_schema::<Status>(),
        Name::ListIssues => tool.with_input_schema::<arguments::List>().with_output_schema::<Issues>(),
    }
}

/// Calls a tool. What goes wrong is told to the model, which can then ask otherwise.
pub(super) async fn call<D: Desk>(
    server: &Server<D>,
    name: Name,
    arguments: JsonObject,
    context: RequestContext<RoleServer>,
) -> CallToolResult {
    let done = if name == Name::SyncSuppressionCache {
        sweep(server, arguments, &context).await
    } else {
        select! {
            done = quick(server, name, arguments) => done,
            () = context.ct.cancelled() => Err(Trouble("cancelled".to_owned())),
        }
    };
    done.unwrap_or_else(|trouble| CallToolResult::error(vec![ContentBlock::text(trouble.to_string())]))
}

/// Calls a tool that answers soon.
async fn quick<D: Desk>(server: &Server<D>, name: Name, arguments: JsonObject) -> Result<CallToolResult, Trouble> {
    let _turn = server.calls.acquire().await.map_err(|_closed| Trouble("the server stops".to_owned()))?;
    match name {
        Name::CheckSuppression => check(server, arguments).await,
        Name::Explain => {
            let (text, limit) = arguments::read::<arguments::Explain>(arguments)?.question()?;
            let explanation = server.desk.lookup()?.explain(text, limit).await?;
            result(&explanation, say::explanation(&explanation))
        }
        Name::BuildCanonicalKeys => {
            let (given, company) = arguments::read_with_company::<arguments::Keys>(arguments)?;
            let keys = keys::keys(&given.values(&company)?, &company, &server.desk.rules()?);
            result(&keys, say::keys(&keys))
        }
        Name::ValidateNotionSchema => {
            let arguments::Nothing {} = arguments::read(arguments)?;
            let report = server.desk.schemas().await?;
            result(&report, say::schemas(&report))
        }
        Name::CacheStatus => {
            let arguments::Nothing {} = arguments::read(arguments)?;
            let status = server.desk.lookup()?.status().await?;
            result(&status, say::status(&status))
        }
        Name::ListIssues => {
            let (kinds, after, limit) = arguments::read::<arguments::List>(arguments)?.question()?;
            let issues = server.desk.lookup()?.issues(kinds, after, limit).await?;
            result(&issues, say::issues(&issues))
        }
        Name::SyncSuppressionCache => Err(Trouble("a sweep is no quick call".to_owned())),
    }
}

/// What `check_suppression` returns.
#[derive(Debug, Serialize, JsonSchema)]
struct Checked {
    /// One for each question, in their order: `query`, `queries`, the company of the fields, `companies`.
    results: Vec<Answered>,
}

/// One question: its verdict, or why there is none.
#[derive(Debug, Serialize, JsonSchema)]
struct Answered {
    /// What was asked, or the name of the company.
    asked: String,
    /// Why there is no answer; null where there is one. Only `asked` stands beside it then.
    error: Option<String>,
    #[serde(flatten)]
    verdict: Option<Verdict>,
}

async fn check<D: Desk>(server: &Server<D>, arguments: JsonObject) -> Result<CallToolResult, Trouble> {
    let (given, company) = arguments::read_with_company::<arguments::Check>(arguments)?;
    let (asked, terms) = given.questions(company)?;
    let (names, questions): (Vec<String>, Vec<Question>) = asked.into_iter().unzip();
    let answers = answers(server, questions, terms).await?;
    let told = names.iter().zip(&answers).map(|(name, answer)| match answer {
        Ok(verdict) => say::verdict(name, verdict),
        Err(error) => say::no_answer(name, &error.to_string()),
    });
    let told = say::lines(told);
    let has_none = answers.iter().all(Result::is_err);
    let results = names.into_iter().zip(answers).map(|(asked, answer)| match answer {
        Ok(verdict) => Answered { asked, error: None, verdict: Some(verdict) },
        Err(error) => Answered { asked, error: Some(error.to_string()), verdict: None },
    });
    let mut result = result(&Checked { results: results.collect() }, told)?;
    result.is_error = Some(has_none);
    Ok(result)
}

async fn answers<D: Desk>(
    server: &Server<D>,
    questions: Vec<Question>,
    terms: Terms,
) -> Result<Vec<Result<Verdict, LookupError>>, Trouble> {
    if terms.wait == Duration::ZERO {
        return server.desk.answer(questions, terms).await;
    }
    select! {
        answers = server.desk.answer(questions, terms) => answers,
        () = server.stop.cancelled() => Err(Trouble("the server stops: ask again in a moment".to_owned())),
    }
}

async fn sweep<D: Desk>(
    server: &Server<D>,
    arguments: JsonObject,
    context: &RequestContext<RoleServer>,
) -> Result<CallToolResult, Trouble> {
    let order = arguments::read::<arguments::Sync>(arguments)?.order()?;
    server.desk.knows(&order.sources)?;
    let Ok(_turn) = server.sweeps.try_acquire() else {
        return Err(Trouble("several sweeps that were asked for here have not ended: wait for them".to_owned()));
    };
    let stop = context.ct.child_token();
    let (tells, heard) = watch::channel(None);
    let told = progress::tell(&context.peer, context.meta.get_progress_token(), heard);
    let work = async {
        let sweep = server.desk.sweep(order, stop.clone(), |standing| drop(tells.send_replace(Some(standing))));
        let swept = sweep.await;
        drop(tells);
        swept
    };
    let stops = async {
        server.stop.cancelled().await;
        stop.cancel();
        pending::<Infallible>().await
    };
    let swept = select! {
        // The last word of progress never comes behind the result.
        (swept, ()) = async { tokio::join!(work, told) } => swept,
        never = stops => match never {},
    };
    match swept? {
        Swept::Ended(report) => result(&*report, say::sweep(&report)),
        Swept::Stopped => Err(Trouble(
            "stopped before the sweep ended; where a `suppressd serve` does the work, it goes on with it: cache_status \
             shows it"
                .to_owned(),
        )),
    }
}

fn result<T: Serialize>(value: &T, told: String) -> Result<CallToolResult, Trouble> {
    let value = serde_json::to_value(value).map_err(|error| Trouble(format!("cannot write the result: {error}")))?;
    let mut result = CallToolResult::success(vec![ContentBlock::text(told)]);
    result.structured_content = Some(value);
    Ok(result)
}
