//! `check`: may I push this?

pub mod bulk;

use anstyle::Style;
use anyhow::anyhow;
use chrono::{TimeDelta, Utc};
use serde::Serialize;

use crate::{
    app,
    cli::{
        ExitStatus,
        args::asking::CheckArgs,
        block_on,
        check::bulk::Bulk,
        database,
        failure::NextStep,
        output::{BAD, GOOD, Output, WARNING, plain},
        times::instant,
    },
    clock::Clock,
    config::Config,
    lookup::{LookupError, Question, Terms},
    model::verdict::{Answer, Company, Verdict},
};

/// Answers every question, and exits as `grep` does: an error beats «suppressed», which beats «stale» and «clear».
pub(super) fn run(args: &CheckArgs, config: &Config) -> anyhow::Result<ExitStatus> {
    let clock = Clock::system();
    let max_age = args.max_age.map(|age| TimeDelta::from_std(age).unwrap_or(TimeDelta::MAX));
    if let Some(input) = &args.bulk.input {
        if args.json {
            return Err(anyhow!("--json does not go with --input").context(NextStep(
                "leave it out: --input answers in the form of the file, JSON lines for JSON lines",
            )));
        }
        return bulk::run(
            input,
            Bulk { format: args.bulk.input_format, max_age, columns: args.bulk.columns.clone() },
            &database::lookup(config, &clock)?,
        );
    }
    let (names, questions) = questions(args);
    if names.is_empty() {
        return Err(anyhow!("no company was named").context(NextStep(
            "name one as in `suppressd check acme.ai` or with --name 'Acme Ltd', or a file of them with --input; \
             `suppressd check --help` says more",
        )));
    }
    if names.iter().any(|name| name == "-") {
        return Err(anyhow!("\"-\" is no company").context(NextStep("a file of companies on stdin is --input -")));
    }
    database::is_there(&config.db_path)?;
    let answers = if max_age.is_some() && !args.wait.is_zero() {
        let terms = Terms { max_age, wait: args.wait };
        block_on(async { Ok(app::asking::answer(config, questions, terms, &clock).await?) })?
    } else {
        app::lookup(config, &clock)?.answer_blocking(&questions, max_age)?
    };

    let mut output = Output::stdout();
    for (name, answer) in names.iter().zip(&answers) {
        if args.json {
            output.json(&Answered::new(name, answer))?;
        } else {
            tell(&mut output, name, answer, clock.now())?;
        }
    }
    Ok(status(&answers))
}

/// Every value is asked by itself; the options together are one more question.
fn questions(args: &CheckArgs) -> (Vec<String>, Vec<Question>) {
    let mut names = args.company.values.clone();
    let mut questions: Vec<_> = names.iter().cloned().map(Question::Text).collect();
    let company = args.company.company();
    if company != Company::default() {
        names.push(company.called().to_owned());
        questions.push(Question::Company(Box::new(company)));
    }
    (names, questions)
}

fn status(answers: &[Result<Verdict, LookupError>]) -> ExitStatus {
    let any = |wanted: Answer| answers.iter().flatten().any(|verdict| verdict.verdict == wanted);
    match () {
        () if answers.iter().any(Result::is_err) => ExitStatus::Failure,
        () if any(Answer::Suppressed) => Answer::Suppressed.into(),
        () if any(Answer::Stale) => Answer::Stale.into(),
        () => Answer::Clear.into(),
    }
}

/// One answer for machines: the question, and its verdict or why there is none.
#[derive(Serialize)]
struct Answered<'a> {
    asked: &'a str,
    #[serde(flatten)]
    verdict: Option<&'a Verdict>,
    error: Option<String>,
}

impl<'a> Answered<'a> {
    fn new(asked: &'a str, answer: &'a Result<Verdict, LookupError>) -> Self {
        Self { asked, verdict: answer.as_ref().ok(), error: answer.as_ref().err().map(ToString::to_string) }
    }
}

/// Returns how an answer looks.
pub(super) const fn style(answer: Answer) -> Style {
    match answer {
        Answer::Suppressed => BAD,
        Answer::Clear => GOOD,
        Answer::Stale => WARNING,
    }
}

/// Says what a value that gives no key probably is, where that is plain.
fn hint(value: &str) -> String {
    let is_number = (6..=8).contains(&value.len()) && value.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { format!("; a number at Companies House is companies_house:{value:0>8}") } else { String::new() }
}

fn tell<W: std::io::Write>(
    output: &mut Output<W>,
    name: &str,
    answer: &Result<Verdict, LookupError>,
    now: chrono::DateTime<Utc>,
) -> std::io::Result<()> {
    let name = if name.is_empty() { "\"\"".into() } else { plain(name) };
    let verdict = match answer {
        Ok(verdict) => verdict,
        Err(error) => return output.line(format_args!("{name}: {BAD}no answer{BAD:#}: {error}{}", hint(&name))),
    };
    let style = style(verdict.verdict);
    output.line(format_args!("{name}: {style}{}{style:#}: {}", verdict.verdict.name(), plain(&verdict.reason)))?;
    if let Some(matched) = &verdict.matched {
        let strength = matched.key.prefix().strength();
        output.line(format_args!("  key     {} ({})", matched.key, format!("{strength:?}").to_lowercase()))?;
        if let Some(url) = &matched.page_url {
            output.line(format_args!("  page    {}", plain(url)))?;
        }
    }
    for possible in &verdict.possible {
        let (name, status) = (plain(&possible.company_name), plain(&possible.status));
        let url = possible.page_url.as_deref().map(plain).unwrap_or_default();
        output.line(format_args!("  {WARNING}possible{WARNING:#}  {name} ({status}), {:.3}  {url}", possible.score))?;
    }
    for unusable in &verdict.unusable {
        output.line(format_args!("  {WARNING}no key{WARNING:#}  {}", plain(unusable)))?;
    }
    if let Some(proven) = verdict.fresh_as_of {
        let by = verdict.rests_on.map(|by| format!(" by {}", by.name())).unwrap_or_default();
        output.line(format_args!("  proven  {}{by}", instant(proven, now)))?;
    }
    Ok(())
}
