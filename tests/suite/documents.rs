//! What the documents tell people to type: every command in them is one, with options that it takes.

use std::{fs, path::Path};

use clap::{Arg, ArgAction, Command, CommandFactory as _};
use suppressd::cli::args::Args;

#[test]
fn every_command_in_the_documents_is_one() {
    let program = program();
    let mut seen = 0;
    let mut wrong = Vec::new();
    for (path, text) in documents() {
        for (line, command) in commands(&text) {
            seen += 1;
            if let Err(why) = judge(&program, &command) {
                wrong.push(format!("{path}:{line}: `suppressd {}`: {why}", command.join(" ")));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    assert!(seen > 100, "only {seen} commands were found: are the documents still read?");
}

#[test]
fn what_is_no_command_is_noticed() {
    let program = program();
    for (text, why) in [
        ("suppressd evnts list", "no command evnts"),
        ("suppressd events list --stat parked", "no option --stat"),
        ("suppressd events list -n 5", "no option -n"),
        ("suppressd status now", "takes no now"),
        ("suppressd explain a.example b.example", "takes no b.example"),
        ("suppressd events", "which one"),
        ("cd / && sudo -u crm suppressd sweep | head", "no command sweep"),
        ("SUPPRESSD_DB_PATH=a.db /usr/local/bin/suppressd sweep", "no command sweep"),
        ("claude mcp add suppressd -- suppressd mpc", "no command mpc"),
        ("docker compose exec suppressd suppressd statsu", "no command statsu"),
        ("suppressdctl chekc", "no command chekc"),
        ("if ! suppressd chekc \"$site\" >/dev/null; then", "no command chekc"),
    ] {
        let found = commands(&format!("```sh\n{text}\n```\n"));
        assert_eq!(found.len(), 1, "{text}");
        assert_eq!(judge(&program, &found[0].1).unwrap_err(), why, "{text}");
    }
}

#[test]
fn what_is_said_right_is_left_alone() {
    let program = program();
    for text in [
        "suppressd --db-path a.db -vv events list --state=parked --limit 5   # the parked ones",
        "suppressd reconcile --interval 900 --dry-run 2>>sweeps.log &",
        "suppressd check 'two words' --name \"Acme Ltd\" >/dev/null || answer=$?",
        "suppressd conflicts --csv > to-mend.csv",
        "suppressd status --json | jq .cache",
        "suppressd help events",
    ] {
        let found = commands(&format!("```sh\n{text}\n```\n"));
        assert_eq!(found.len(), 1, "{text}");
        assert_eq!(judge(&program, &found[0].1), Ok(()), "{text}");
    }
    let none =
        "```sh\njournalctl -u suppressd -n 100\nsystemctl restart suppressd\n```\n\n```json\nsuppressd nothing\n```\n";
    assert_eq!(commands(none), []);
    assert_eq!(commands("Say `suppressd status` or `suppressd`,\nwith suppressd anything.\n").len(), 1);
    assert_eq!(commands("```console\n$ suppressd status\nsuppressd answers\n```\n").len(), 1);
}

/// The program's own parser, with the options of every command in each.
fn program() -> Command {
    let mut program = Args::command();
    program.build();
    program
}

/// README.md, and the pages and units of docs/ and deploy/, by their paths.
fn documents() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut documents = vec![("README.md".to_owned(), fs::read_to_string(root.join("README.md")).unwrap())];
    let entries = ["docs", "deploy"].into_iter().flat_map(|folder| fs::read_dir(root.join(folder)).unwrap());
    for entry in entries {
        let path = entry.unwrap().path();
        let text = match path.extension().and_then(|it| it.to_str()) {
            Some("md") => fs::read_to_string(&path).unwrap(),
            Some("service") => unit(&fs::read_to_string(&path).unwrap()),
            _ => continue,
        };
        documents.push((path.strip_prefix(root).unwrap().display().to_string(), text));
    }
    documents
}

/// A unit's commands as a page would show them, each on its line.
fn unit(text: &str) -> String {
    let started = |line: &str| {
        Some(line.strip_prefix("Exec")?.split_once('=')?.1.trim_start_matches(['-', '+', '!', ':']).to_owned())
    };
    let lines: Vec<_> = text.lines().map(|line| started(line).unwrap_or_default()).collect();
    // The first line opens the block, so that the others keep their numbers.
    format!("```sh\n{}\n```\n", lines.get(1..).unwrap_or_default().join("\n"))
}

/// Lists the commands of a page with their lines: those of blocks of commands, and those in the text.
fn commands(page: &str) -> Vec<(usize, Vec<String>)> {
    let mut found = Vec::new();
    let mut block = None;
    for (nth, line) in page.lines().enumerate() {
        let line_number = nth + 1;
        let text = line.trim();
        if let Some(language) = text.strip_prefix("```") {
            block = if block.is_some() { None } else { Some(language) };
            continue;
        }
        let spoken = match block {
            None => text.split('`').skip(1).step_by(2).filter(|it| is_spoken(it)).collect(),
            Some("sh" | "bash") => vec![text],
            Some("console") => text.strip_prefix("$ ").into_iter().collect(),
            Some(_) => vec![],
        };
        for spoken in spoken {
            for part in parts(spoken) {
                found.extend(arguments(&part).map(|words| (line_number, words.to_vec())));
            }
        }
    }
    found
}

/// Says of a piece of code in the text whether it is a command.
fn is_spoken(code: &str) -> bool {
    code.starts_with("suppressd ") || code.starts_with("suppressdctl ")
}

/// Takes a line apart into the commands of its pipes and lists, each as its words.
fn parts(line: &str) -> Vec<Vec<String>> {
    let mut parts = vec![vec![]];
    let mut word = String::new();
    let mut quote = None;
    for c in line.chars().chain([' ']) {
        match (quote, c) {
            (Some(open), _) if c == open => quote = None,
            (None, '\'' | '"') => quote = Some(c),
            (None, '#') if word.is_empty() => break,
            // Brackets mark what may be left out.
            (None, '[' | ']') => (),
            (None, ' ' | '|' | ';' | '&' | '(' | ')') => {
                if !word.is_empty() {
                    parts.last_mut().unwrap().push(std::mem::take(&mut word));
                }
                if c != ' ' {
                    parts.push(vec![]);
                }
            }
            _ => word.push(c),
        }
    }
    parts
}

/// Returns what follows the name of the program, where that is called.
fn arguments(words: &[String]) -> Option<&[String]> {
    // deploy/suppressdctl gives all of its arguments to the program.
    let is_ours = |word: &String| matches!(word.as_str(), "suppressd" | "suppressdctl" | "/usr/local/bin/suppressd");
    let at = words.iter().rposition(is_ours)?;
    let (before, after) = (words.get(..at)?, words.get(at + 1..)?);
    let leads = |word: &String| {
        matches!(word.as_str(), "sudo" | "env" | "exec" | "time" | "!" | "if" | "while" | "do" | "then" | "else")
            || word.split_once('=').is_some_and(|(name, _)| name.chars().all(|c| c.is_ascii_uppercase() || c == '_'))
    };
    let is_called = before.iter().all(leads)
        || before.last().is_some_and(|word| word == "--")
        || before.first().is_some_and(|word| word == "sudo")
        || before.iter().any(|word| word == "exec" || word == "run") && before.last().is_some_and(is_ours);
    (is_called && !after.is_empty()).then_some(after)
}

/// Says what is wrong with the arguments of the program.
fn judge(program: &Command, words: &[String]) -> Result<(), String> {
    let mut command = program;
    let mut positionals = 0;
    let mut words = words.iter().take_while(|word| !is_redirection(word));
    while let Some(word) = words.next() {
        if command.get_name() == "help" {
            return Ok(());
        }
        let options: Vec<&Arg> = if let Some(long) = word.strip_prefix("--") {
            let name = long.split_once('=').map_or(long, |(name, _)| name);
            let is_it = |arg: &&Arg| {
                arg.get_long_and_visible_aliases().is_some_and(|all| all.contains(&name))
                    || arg.get_all_aliases().is_some_and(|all| all.contains(&name))
            };
            vec![command.get_arguments().find(is_it).ok_or_else(|| format!("no option --{name}"))?]
        } else if let Some(short) = word.strip_prefix('-').filter(|it| !it.is_empty()) {
            let option = |c| command.get_arguments().find(|arg| arg.get_short() == Some(c));
            short.chars().map(|c| option(c).ok_or_else(|| format!("no option -{c}"))).collect::<Result<_, _>>()?
        } else if let Some(next) = command.find_subcommand(word) {
            command = next;
            vec![]
        } else if command.has_subcommands() {
            // «Any of its commands.»
            if word == "…" {
                return Ok(());
            }
            return Err(format!("no command {word}"));
        } else {
            positionals += 1;
            let taken = |arg: &Arg| arg.get_num_args().map_or(1, |range| range.max_values());
            let most = command.get_positionals().map(taken).fold(0, usize::saturating_add);
            if positionals > most {
                return Err(format!("takes no {word}"));
            }
            vec![]
        };
        let ends =
            |option: &&Arg| matches!(option.get_action(), ArgAction::Help | ArgAction::HelpShort | ArgAction::Version);
        if options.iter().any(ends) {
            return Ok(());
        }
        if options.iter().any(|option| option.get_action().takes_values()) && !word.contains('=') {
            words.next();
        }
    }
    if command.is_subcommand_required_set() { Err("which one".to_owned()) } else { Ok(()) }
}

fn is_redirection(word: &str) -> bool {
    word.trim_start_matches(|c: char| c.is_ascii_digit()).starts_with(['>', '<'])
}
