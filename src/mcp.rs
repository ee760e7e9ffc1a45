//! MCP: the questions of every door and a few errands, as tools and prompts for models.
//!
//! The protocol is that of `rmcp`, the official SDK, whose types stay in here. Tools ask [`Lookup`] as HTTP and the
//! command line do; what only the whole program can do stands behind [`Desk`].

mod arguments;
pub mod doors;
mod progress;
mod prompts;
mod say;
mod tools;

use std::{borrow::Cow, sync::Arc};

use rmcp::{
    ErrorData, RoleServer, ServerHandler,
    model::{
        CallToolRequestParams, CallToolResponse, GetPromptRequestParams, GetPromptResponse, Implementation,
        ListPromptsResult, ListToolsResult, PaginatedRequestParams, ServerCapabilities, ServerConfig, Tool,
    },
    service::RequestContext,
};
use tokio::sync::Semaphore;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    derive::Rules,
    lookup::{Lookup, LookupError, Question, Terms, schema::SchemaReport},
    model::{
        sweep::{SweepOrder, SweepProgress, SweepReport},
        verdict::Verdict,
    },
    store::{Store, StoreError},
};

/// As many sweeps may be waited for at once by the clients of one server.
const SWEEPS_MAX: usize = 4;

/// As many tools may work at once; further calls wait. A sweep that is waited for does not count.
const CALLS_MAX: usize = 32;

const INSTRUCTIONS: &str = "\
suppressd knows which companies a Notion CRM holds, so that nobody pushes a prospect that is there already.

Before you push, contact or add a company, call check_suppression, with everything that you know of it. Only the verdict \
`clear` is a go-ahead. `suppressed` means that the CRM holds it: where its firmness is `hard`, do not touch it at all; \
where it is `soft`, it is in the pipeline and may be updated there, not pushed anew. `stale` is not `clear`: what is known \
is too old to say; follow the reason that it gives. Possible matches are companies with a like name: they decide nothing, \
show them to a person.";

/// Who answers and works for the tools.
pub trait Desk: Clone + Send + Sync + 'static {
    /// What is asked.
    type Store: Store;

    /// Opens the lookup, or says why there is none.
    fn lookup(&self) -> Result<Lookup<Self::Store>, Trouble>;

    /// Returns how values become keys.
    fn rules(&self) -> Result<Rules, Trouble>;

    /// Answers questions on terms, in their order.
    fn answer(
        &self,
        questions: Vec<Question>,
        terms: Terms,
    ) -> impl Future<Output = Result<Vec<Result<Verdict, LookupError>>, Trouble>> + Send;

    /// Refuses names that are none of a source of the settings.
    fn knows(&self, sources: &[String]) -> Result<(), Trouble>;

    /// Sweeps, or has it done by whoever has the right to; `told` hears how it stands.
    fn sweep(
        &self,
        order: SweepOrder,
        stop: CancellationToken,
        told: impl FnMut(Standing) + Send,
    ) -> impl Future<Output = Result<Swept, Trouble>> + Send;

    /// Says how the sources fit, by a look at Notion where that may be asked.
    fn schemas(&self) -> impl Future<Output = Result<SchemaReport, Trouble>> + Send;
}

/// How it stands with a sweep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// How far it is.
    pub progress: SweepProgress,
    /// Who does the work, or why nobody does yet; said behind what is done.
    pub by: &'static str,
}

/// What came of asking for a sweep.
#[derive(Debug)]
pub enum Swept {
    /// It ended.
    Ended(Box<SweepReport>),
    /// A stop came first.
    Stopped,
}

/// Why a tool has no result: told to the model, with what a person can do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Trouble(pub String);

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        Self(crate::causes::told(&error))
    }
}

impl From<LookupError> for Trouble {
    fn from(error: LookupError) -> Self {
        Self(crate::causes::told(&error))
    }
}

/// The server behind every door. Clones share what they may do at once.
#[derive(Debug, Clone)]
pub struct Server<D> {
    desk: D,
    /// Cancelled when no call is to go on that may take long.
    stop: CancellationToken,
    calls: Arc<Semaphore>,
    sweeps: Arc<Semaphore>,
    running: TaskTracker,
}

impl<D: Desk> Server<D> {
    /// Makes a server whose long calls end when `stop` is cancelled.
    pub fn new(desk: D, stop: CancellationToken) -> Self {
        Self {
            desk,
            stop,
            calls: Arc::new(Semaphore::new(CALLS_MAX)),
            sweeps: Arc::new(Semaphore::new(SWEEPS_MAX)),
            running: TaskTracker::new(),
        }
    }

    /// Waits until no call is at work. What is called meanwhile is waited for too.
    async fn idle(&self) {
        self.running.close();
        self.running.wait().await;
    }
}

impl<D: Desk> ServerHandler for Server<D> {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder().enable_tools().enable_prompts().build();
        let name = Implementation::new("suppressd", env!("CARGO_PKG_VERSION"))
            .with_title("suppressd")
            .with_description(env!("CARGO_PKG_DESCRIPTION"));
        ServerConfig::new(capabilities).with_server_info(name).with_instructions(INSTRUCTIONS)
    }

    async fn list_tools(
        &self,
        _all_on_one_page: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(tools::all()))
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        tools::Name::of(name).map(tools::described)
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let _at_work = self.running.token();
        let Some(name) = tools::Name::of(&request.name) else {
            let known = tools::Name::ALL.map(tools::Name::text).join(", ");
            return Err(ErrorData::invalid_params(format!("unknown tool {:?}: there are {known}", request.name), None));
        };
        // On the heap: a call is a large future inside of many others.
        Ok(Box::pin(tools::call(self, name, request.arguments.unwrap_or_default(), context)).await.into())
    }

    async fn list_prompts(
        &self,
        _all_on_one_page: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListPromptsResult, ErrorData> {
        Ok(ListPromptsResult::with_all_items(prompts::all()))
    }

    async fn get_prompt(
        &self,
        request: GetPromptRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<GetPromptResponse, ErrorData> {
        let prompt = prompts::get(&request.name, &request.arguments.unwrap_or_default());
        prompt.map(GetPromptResponse::from).map_err(|why| ErrorData::invalid_params(Cow::from(why), None))
    }
}
