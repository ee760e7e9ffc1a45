//! The prompts: what a person picks, and what a model is then told to do with the tools.

use rmcp::model::{GetPromptResult, JsonObject, Prompt, PromptArgument, PromptMessage, Role};
use serde_json::Value as Json;

const CHECK: &str = "check-suppression";
const SYNC: &str = "sync-suppression-cache";
const VALIDATE: &str = "validate-notion-schema";

/// The longest value of an argument: it is put into the text.
const VALUE_MAX: usize = 10_000;

/// Every prompt.
pub(super) fn all() -> Vec<Prompt> {
    let argument =
        |name: &str, text: &str, required| PromptArgument::new(name).with_description(text).with_required(required);
    vec![
        Prompt::new(
            CHECK,
            Some("Find out whether a company may be pushed, or whether the CRM holds it already."),
            Some(vec![
                argument("company", "Its domain, web address, canonical key or name.", true),
                argument("details", "What else is known of it: location, registry number, profiles, …", false),
            ]),
        )
        .with_title("May this company be pushed?"),
        Prompt::new(
            SYNC,
            Some("Make the cache right by a sweep of the whole CRM, or see what a sweep would change."),
            Some(vec![argument("dry_run", "`true`: only see what would change. By default `false`.", false)]),
        )
        .with_title("Make the cache right"),
        Prompt::new(
            VALIDATE,
            Some("See whether the properties and statuses of the CRM fit what suppressd needs, and how to mend them."),
            None,
        )
        .with_title("Does the CRM's schema fit?"),
    ]
}

/// Returns a prompt filled in, or what is wrong with what was asked.
pub(super) fn get(name: &str, arguments: &JsonObject) -> Result<GetPromptResult, String> {
    let Some(prompt) = all().into_iter().find(|prompt| prompt.name == name) else {
        return Err(format!("unknown prompt {name:?}: there are {CHECK}, {SYNC}, {VALIDATE}"));
    };
    let known = prompt.arguments.clone().unwrap_or_default();
    if let Some(unknown) = arguments.keys().find(|name| !known.iter().any(|argument| argument.name == **name)) {
        return Err(format!("the prompt {name} takes no argument {unknown:?}"));
    }
    let given = |argument: &str| match arguments.get(argument) {
        None | Some(Json::Null) => Ok(None),
        Some(Json::String(text)) if text.len() <= VALUE_MAX => Ok(Some(text.trim()).filter(|text| !text.is_empty())),
        Some(Json::String(_)) => Err(format!("the argument {argument:?} has more than {VALUE_MAX} bytes")),
        Some(_) => Err(format!("the argument {argument:?} is a text")),
    };
    let text = match name {
        CHECK => {
            let company = given("company")?.ok_or("the argument \"company\" is missing")?;
            check(company, given("details")?)
        }
        SYNC => match given("dry_run")? {
            None | Some("false") => sync(false),
            Some("true") => sync(true),
            Some(other) => return Err(format!("the argument \"dry_run\" is true or false, not {other:?}")),
        },
        _ => VALIDATE_TEXT.to_owned(),
    };
    let result = GetPromptResult::new(vec![PromptMessage::new_text(Role::User, text)]);
    Ok(match prompt.description {
        Some(description) => result.with_description(description),
        None => result,
    })
}

fn check(company: &str, details: Option<&str>) -> String {
    let details = details.map(|details| format!("\nWhat else is known of it: {details}")).unwrap_or_default();
    format!(
        "May this company be pushed, or does the CRM hold it already?\n\
         The company: {company}{details}\n\n\
         Call check_suppression with everything that is known: the domain or web address, the name with its location, \
         registry numbers and profiles, each in its own argument. Then tell me the verdict and why.\n\
         - `clear` is the only go-ahead: the CRM does not hold it, and that is proven recently enough.\n\
         - `suppressed`, hard: do not touch it. Do not push, contact or add it, whatever else speaks for it.\n\
         - `suppressed`, soft: it is in the pipeline. Do not push it anew; its page may be updated. Give me the link.\n\
         - `stale` is not clear. Ask once more with max_age `24h`, which has its page fetched; if it is still stale, say \
         so, do not push, and tell me what the reason says to do.\n\
         - Possible matches decide nothing. List them with their links for me to look at, and wait for my word.\n\
         - An error is no go-ahead either: ask with another identifier."
    )
}

fn sync(dry_run: bool) -> String {
    let (order, report) = if dry_run {
        (
            "Call sync_suppression_cache with dry_run true, which writes nothing.",
            "Tell me what it would change, by kind, with a few examples. Only if I agree then, call it with dry_run false.",
        )
    } else {
        (
            "Call sync_suppression_cache with dry_run false.",
            "Tell me what it found: pages, with and without a key, differences that no event had told, errors and notes.",
        )
    };
    format!(
        "Make sure that the suppression cache is what the CRM says.\n\n\
         First call cache_status, and say how fresh the cache is and whether a sweep runs already. {order} It reads the \
         whole CRM and may take minutes; ask for progress. {report}\n\
         - `complete`: every page was seen. From then on `clear` is proven.\n\
         - `partial` or `failed`: nothing was removed and nothing expired; what it could not see, it names. Do not call the \
         cache fresh then, and do not repeat it at once: tell me the errors.\n\
         - Never set accept_missing by yourself: it believes that many pages were deleted, which only a person can know."
    )
}

const VALIDATE_TEXT: &str = "\
Does the schema of the CRM fit what the suppression cache needs?

Call validate_notion_schema. Say whether it was read from Notion just now or how old it is. Then, for each source:
- what is wrong (problems), and how to mend it in Notion or in the settings;
- which property plays which role, and which roles no property plays; where a name may be meant, name it;
- whether the statuses that mean «do not touch» exist as options: a hard status that is misspelt protects nobody.
Change nothing in the CRM yourself: a person does that.";

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn got(name: &str, arguments: &Json) -> Result<String, String> {
        let result = get(name, arguments.as_object().unwrap())?;
        Ok(result.messages[0].content.as_text().unwrap().text.clone())
    }

    #[test]
    fn each_prompt_teaches_what_its_tool_means() {
        let check = got(CHECK, &json!({"company": "acme.ai", "details": "in Leeds"})).unwrap();
        for word in ["acme.ai", "in Leeds", "only go-ahead", "do not touch", "`stale` is not clear", "Possible matches"]
        {
            assert!(check.contains(word), "{word}: {check}");
        }
        assert!(got(SYNC, &json!({})).unwrap().contains("with dry_run false."));
        assert!(got(SYNC, &json!({"dry_run": "true"})).unwrap().contains("with dry_run true,"));
        assert!(got(VALIDATE, &json!({})).unwrap().contains("validate_notion_schema"));
    }

    #[test]
    fn what_a_prompt_does_not_take_is_refused() {
        for (name, arguments, told) in [
            ("check", json!({}), "unknown prompt"),
            (CHECK, json!({}), "is missing"),
            (CHECK, json!({"company": " "}), "is missing"),
            (CHECK, json!({"company": 1}), "is a text"),
            (CHECK, json!({"company": "x".repeat(VALUE_MAX + 1)}), "more than"),
            (CHECK, json!({"firm": "x"}), "takes no argument"),
            (SYNC, json!({"dry_run": "perhaps"}), "true or false"),
        ] {
            let refused = got(name, &arguments).unwrap_err();
            assert!(refused.contains(told), "{told}: {refused}");
        }
    }
}
