//! Who may read and change the files, and the room that is left.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use rustix::fs::{Access, access, statvfs};

use crate::{
    app::doctor::check::{Check, Group},
    config::Config,
};

const GROUP: Group = Group::Files;

/// With less room than this nothing more can be acknowledged soon.
const ROOM_BYTES_MIN: u64 = 64 * 1024 * 1024;

/// With less than this somebody should know.
const ROOM_BYTES_SPARE: u64 = 512 * 1024 * 1024;

/// Looks at the files that the settings name.
pub(super) fn checks(config: &Config) -> Vec<Check> {
    let mut checks = vec![room_check(&folder(&config.db_path)), database_check(&config.db_path)];
    checks.extend(config.secret_files().iter().map(|file| secret_check(&file.path, file.is_credential)));
    checks.extend(config.settings_file().map(settings_check));
    checks
}

fn folder(path: &Path) -> PathBuf {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder.map_or_else(|| PathBuf::from("."), Path::to_owned)
}

fn room_check(folder: &Path) -> Check {
    match statvfs(folder) {
        Ok(room) => {
            // Some systems do not tell the size of their blocks.
            let block = room.f_frsize.max(1);
            judge_room(folder, room.f_bavail.saturating_mul(block), room.f_blocks.saturating_mul(block))
        }
        Err(error) => {
            let found = format!("{} cannot be looked at: {}", folder.display(), io::Error::from(error));
            GROUP.failed("disk", found, "make the folder, or name another file with --db-path")
        }
    }
}

fn judge_room(folder: &Path, free: u64, size: u64) -> Check {
    let mib = |bytes: u64| bytes / (1024 * 1024);
    let found = format!("{} MiB of {} MiB free at {}", mib(free), mib(size), folder.display());
    let fix = "make room, or move the database: what cannot be written is not acknowledged";
    if free < ROOM_BYTES_MIN {
        GROUP.failed("disk", found, fix)
    } else if free < ROOM_BYTES_SPARE {
        GROUP.warning("disk", found, fix)
    } else {
        GROUP.well("disk", found)
    }
}

fn database_check(path: &Path) -> Check {
    let (name, shown) = ("database", path.display());
    let mode = match mode(path) {
        Ok(mode) => mode,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return GROUP.skipped(name, "there is none yet"),
        Err(error) => {
            return GROUP.failed(name, format!("{shown} cannot be looked at: {error}"), "may this user see it?");
        }
    };
    if mode & 0o002 != 0 {
        let fix = format!("chmod o-rwx {shown}*");
        return GROUP.failed(name, format!("everybody can change it (mode {mode:04o})"), fix);
    }
    let writable = |path: &Path| access(path, Access::READ_OK | Access::WRITE_OK).is_ok();
    if !writable(path) || !writable(&folder(path)) {
        return GROUP.warning(
            name,
            format!("this user cannot write it or its folder (mode {mode:04o})"),
            "run this as the user that runs `suppressd serve`; if you do, give that user the folder",
        );
    }
    let readers = match mode & 0o044 {
        0 => "only its owner can read it",
        0o040 => "its owner and its group can read it",
        _ => "everybody on this machine can read the CRM in it; `chmod o-rwx` keeps them out",
    };
    GROUP.well(name, format!("mode {mode:04o}: {readers}"))
}

fn secret_check(path: &Path, is_credential: bool) -> Check {
    let shown = path.display();
    // systemd lets the user of a service read by a rule of its own, which shows as the group's.
    let forbidden = if is_credential { 0o007 } else { 0o077 };
    match mode(path) {
        Ok(mode) if mode & forbidden != 0 => GROUP.failed(
            "secret",
            format!("others can read {shown} (mode {mode:04o})"),
            format!("chmod 600 {shown}; if others may have read it, get a new one from Notion"),
        ),
        Ok(mode) => GROUP.well("secret", format!("{shown} has mode {mode:04o}")),
        Err(error) => GROUP.failed("secret", format!("{shown} cannot be looked at: {error}"), "may this user see it?"),
    }
}

fn settings_check(path: &Path) -> Check {
    let shown = path.display();
    match mode(path) {
        Ok(mode) if mode & 0o022 != 0 => GROUP.warning(
            "settings",
            format!("others can change {shown} (mode {mode:04o})"),
            format!("chmod go-w {shown}"),
        ),
        Ok(mode) => GROUP.well("settings", format!("{shown} has mode {mode:04o}")),
        Err(error) => {
            GROUP.failed("settings", format!("{shown} cannot be looked at: {error}"), "may this user see it?")
        }
    }
}

fn mode(path: &Path) -> io::Result<u32> {
    Ok(fs::metadata(path)?.permissions().mode() & 0o7777)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::doctor::check::State;

    #[test]
    fn little_room_is_told_before_there_is_none() {
        let state = |mib: u64| judge_room(Path::new("/srv"), mib << 20, 1 << 40).state;
        assert_eq!([state(2_000), state(300), state(20)], [State::Well, State::Warning, State::Failed]);
        assert_eq!(room_check(Path::new("/does/not/exist")).state, State::Failed);
    }
}
