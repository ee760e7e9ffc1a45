//! What fuzzing checks holds for the seeds that it begins with, and for all that it has ever found (`fuzz/found`).

use std::{fs, panic::catch_unwind, path::Path, process::Command};

use fastrand::Rng;

use crate::{fuzz, program::repository};

/// Checks some bytes, and panics where they do not hold.
type Check = fn(&[u8]);

/// The targets with their checks. Each is a program of `fuzz/targets`, too.
const TARGETS: [(&str, Check); 8] = [
    ("answers", fuzz::answers),
    ("csv", fuzz::csv),
    ("json_lines", fuzz::json_lines),
    ("keys", fuzz::keys),
    ("page", fuzz::page),
    ("settings", fuzz::settings),
    ("shaped_page", fuzz::shaped_page),
    ("webhook", fuzz::webhook),
];

#[test]
fn the_seeds_hold() {
    let folder = tempfile::tempdir().unwrap();
    let made = Command::new("bash").arg(repository("fuzz/seeds.sh")).arg(folder.path()).status().unwrap();
    assert!(made.success());
    for (target, check) in TARGETS {
        assert!(every_file(&folder.path().join(target), check) > 0, "{target} has no seed");
    }
}

#[test]
fn what_fuzzing_has_found_holds() {
    for (target, check) in TARGETS {
        every_file(&repository("fuzz/found").join(target), check);
    }
}

#[test]
fn each_target_is_a_program_with_its_check() {
    let manifest = fs::read_to_string(repository("fuzz/Cargo.toml")).unwrap();
    for (target, _) in TARGETS {
        let program = fs::read_to_string(repository(&format!("fuzz/targets/{target}.rs"))).unwrap();
        assert!(program.contains(&format!("suppressd_fuzz::{target}(bytes)")), "{target}");
        assert!(manifest.contains(&format!("path = \"targets/{target}.rs\"")), "{target}");
    }
    assert_eq!(fs::read_dir(repository("fuzz/targets")).unwrap().count(), TARGETS.len());
}

/// Checks every file of a folder; returns how many there are.
fn every_file(folder: &Path, check: Check) -> usize {
    let Ok(files) = fs::read_dir(folder) else { return 0 };
    let check = |path: &Path| {
        let bytes = fs::read(path).unwrap();
        assert!(catch_unwind(|| check(&bytes)).is_ok(), "{}", path.display());
    };
    files.map(|file| check(&file.unwrap().path())).count()
}

#[test]
fn damaged_seeds_hold() {
    let folder = tempfile::tempdir().unwrap();
    let made = Command::new("bash").arg(repository("fuzz/seeds.sh")).arg(folder.path()).status().unwrap();
    assert!(made.success());
    let rounds = suppressd::config::environment("SUPPRESSD_DAMAGES").map_or(5, |rounds| rounds.parse().unwrap());
    for (target, check) in TARGETS {
        let mut files: Vec<_> =
            fs::read_dir(folder.path().join(target)).unwrap().map(|file| file.unwrap().path()).collect();
        files.sort();
        let seeds: Vec<Vec<u8>> = files.iter().map(|path| fs::read(path).unwrap()).collect();
        let mut rng = Rng::with_seed(20_261_122);
        for _ in 0..rounds {
            for seed in &seeds {
                let damaged = damaged(seed, &seeds, &mut rng);
                let held = catch_unwind(|| check(&damaged));
                assert!(held.is_ok(), "{target}: {}", damaged.escape_ascii());
            }
        }
    }
}

/// What stands between things.
const SIGNS: [&[u8]; 10] = [b"\"", b"\0", b"\n", b",", b":", b"null", b"\xc3\xbc", b"\\u0000", b".", b"/"];

/// Changes a few bytes, or takes some out, twice, or from another seed.
fn damaged(seed: &[u8], others: &[Vec<u8>], rng: &mut Rng) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..rng.usize(1..5) {
        let at = rng.usize(..=bytes.len());
        let end = at + rng.usize(..=(bytes.len() - at).min(24));
        let other = others.get(rng.usize(..others.len())).map(Vec::as_slice).unwrap_or_default();
        let from = rng.usize(..=other.len());
        let piece = other.get(from..(from + rng.usize(..24)).min(other.len())).unwrap_or_default().to_vec();
        let again = bytes.get(at..end).unwrap_or_default().to_vec();
        match rng.u8(..5) {
            0 => drop(bytes.splice(at..end, [])),
            1 => drop(bytes.splice(at..at, again)),
            2 => drop(bytes.splice(at..end, piece)),
            3 => drop(bytes.splice(at..at, [rng.u8(..)])),
            _ => drop(bytes.splice(at..end, rng.choice(SIGNS).unwrap_or_default().iter().copied())),
        }
    }
    bytes
}
