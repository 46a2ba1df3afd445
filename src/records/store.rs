//! The records on the disk.
//!
//! `state.json` is the [`State`]; `sources/DIGEST` holds what policies were read from. A file is written beside its
//! place and renamed into it, and sources are there before a state names them. So whenever the host goes down, the disk
//! has one state or the next, complete. `old-rules/VARIANT` restores rules that a take-over removed.
//!
//! If a state can't be written there (the disk is full, or read-only) and the rules have changed already, it is written
//! to `/run` until the next boot.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::libc::O_NONBLOCK;
use nix::unistd::geteuid;
use serde::{Deserialize, Serialize};

use super::sources::digest;
use super::{Record, RecordError, Sealed, Sources, State};

/// Where the records lie (FHS 3.0, 5.8: what a program keeps of its state between runs).
const DIRECTORY: &str = "/var/lib/dockfw";
/// The directory for a state that can't be written to the other one: it exists before any unit runs, and is emptied at
/// boot (FHS 3.0, 3.15).
const STAND_IN: &str = "/run/dockfw";
const STATE: &str = "state.json";
const SOURCES: &str = "sources";
const OLD_RULES: &str = "old-rules";

/// The version of the format of the state.
const FORMAT: u32 = 1;
/// The maximum size of a state; none is as big.
const MAX_STATE: u64 = 1024 * 1024;
/// The maximum size of rules that are saved: iptables-legacy takes seconds for a tenth of it.
const MAX_RULES: u64 = 16 * 1024 * 1024;
/// The maximum size of sources that are kept: four of the biggest lists that a policy may have.
const MAX_SOURCES: u64 = 1024 * 1024 * 1024;

type Result<T> = std::result::Result<T, RecordError>;

#[derive(Serialize, Deserialize)]
struct Versioned {
    format: u32,
    state: State,
}

/// What every version of the format has.
#[derive(Deserialize)]
struct Format {
    format: u32,
}

/// Where the records are kept.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    directory: PathBuf,
    stand_in: PathBuf,
}

impl Store {
    /// Returns the store of this host.
    pub(crate) fn of_host() -> Self {
        Self { directory: DIRECTORY.into(), stand_in: STAND_IN.into() }
    }

    /// Returns the directories in which `state.json` is renamed to its place with each change. They are made if need be.
    pub(crate) fn make_directories(&self) -> Result<[&Path; 2]> {
        make_directory(&self.stand_in)?;
        Ok([self.make_directory()?, &self.stand_in])
    }

    fn make_directory(&self) -> Result<&Path> {
        make_directory(&self.directory)?;
        Ok(&self.directory)
    }

    /// Returns the state. On a host without records, no policy has a role.
    pub(crate) fn read(&self) -> Result<State> {
        Ok(self.find()?.unwrap_or_default())
    }

    /// Returns the state, if there are records.
    pub(crate) fn find(&self) -> Result<Option<State>> {
        match read_state(&self.stand_in.join(STATE))? {
            None => read_state(&self.directory.join(STATE)),
            newer => Ok(newer),
        }
    }

    /// Writes this state. The sources that it names must be saved already; those that it does not name are removed.
    pub(crate) fn write(&self, state: &State) -> Result<()> {
        write(self.make_directory()?, STATE, &state_text(state)?)?;
        remove_file(&self.stand_in.join(STATE))?;
        self.tidy(state);
        Ok(())
    }

    /// Writes this state, which describes rules that have changed already. If it can't be written, this is an error, but
    /// the state counts until the next boot: nobody may roll back a policy that is replaced or rolled back already.
    pub(crate) fn note(&self, state: &State) -> Result<()> {
        self.write(state).inspect_err(|_| {
            let noted = make_directory(&self.stand_in)
                .and_then(|()| write(&self.stand_in, STATE, &state_text(state)?));
            if let Err(error) = noted {
                log::error!("{error}");
            }
        })
    }

    /// Saves sources.
    pub(crate) fn save(&self, sources: &Sealed) -> Result<()> {
        if sources.bytes().len() as u64 > MAX_SOURCES {
            let reason = format!("its files have more than {} MiB", MAX_SOURCES >> 20);
            return Err(RecordError::Unrecordable(reason));
        }
        let directory = self.make_directory()?.join(SOURCES);
        make_directory(&directory)?;
        if is_kept(&directory.join(sources.digest()), sources.bytes()) {
            return Ok(());
        }
        write(&directory, sources.digest(), sources.bytes())
    }

    /// Returns what a policy was read from.
    pub(crate) fn sources(&self, record: &Record) -> Result<Sources> {
        let path = self.directory.join(SOURCES).join(&record.digest);
        let damaged = |reason: &str| RecordError::Damaged { path: path.clone(), reason: reason.to_owned() };
        let bytes = read(&path, MAX_SOURCES)?.ok_or_else(|| damaged("it is not there"))?;
        if digest(&bytes) != record.digest {
            return Err(damaged("its content was changed"));
        }
        Sources::from_bytes(&bytes).map_err(|reason| damaged(&reason))
    }

    /// Saves what restores the old rules of a variant of iptables. Returns where.
    pub(crate) fn save_old_rules(&self, variant: &str, text: &str) -> Result<PathBuf> {
        let directory = self.make_directory()?.join(OLD_RULES);
        make_directory(&directory)?;
        write(&directory, variant, text.as_bytes())?;
        Ok(directory.join(variant))
    }

    /// Returns what restores the old rules of a variant of iptables, if any were removed.
    pub(crate) fn old_rules(&self, variant: &str) -> Result<Option<String>> {
        let path = self.directory.join(OLD_RULES).join(variant);
        let Some(bytes) = read(&path, MAX_RULES)? else { return Ok(None) };
        String::from_utf8(bytes)
            .map(Some)
            .map_err(|_| RecordError::Damaged { path, reason: "it is not UTF-8".into() })
    }

    /// Forgets the old rules: no rollback leads to them any more.
    pub(crate) fn forget_old_rules(&self) -> Result<()> {
        remove_directory(&self.directory.join(OLD_RULES))
    }

    /// Removes all records.
    pub(crate) fn remove(&self) -> Result<()> {
        let emptied = self.note(&State::default());
        remove_directory(&self.directory).and(emptied)
    }

    /// Removes the sources that no policy of the state has. Those that stay do no harm.
    fn tidy(&self, state: &State) {
        let entries = fs::read_dir(self.directory.join(SOURCES)).into_iter().flatten().flatten();
        let is_used =
            |entry: &fs::DirEntry| state.records().any(|record| entry.file_name() == *record.digest);
        for entry in entries.filter(|entry| !is_used(entry)) {
            if let Err(error) = fs::remove_file(entry.path()) {
                log::info!("{} stays: {error}", entry.path().display());
            }
        }
    }
}

fn state_text(state: &State) -> Result<Vec<u8>> {
    let versioned = Versioned { format: FORMAT, state: state.clone() };
    let text = serde_json::to_string_pretty(&versioned)
        .map_err(|error| RecordError::Unrecordable(error.to_string()))?;
    Ok((text + "\n").into_bytes())
}

fn read_state(path: &Path) -> Result<Option<State>> {
    let Some(bytes) = read(path, MAX_STATE)? else { return Ok(None) };
    let damaged =
        |error: serde_json::Error| RecordError::Damaged { path: path.to_owned(), reason: error.to_string() };
    let Format { format } = serde_json::from_slice(&bytes).map_err(damaged)?;
    if format != FORMAT {
        let reason = format!("its format is {format}, and this dockfw reads {FORMAT}");
        return Err(RecordError::Damaged { path: path.to_owned(), reason });
    }
    let Versioned { state, .. } = serde_json::from_slice(&bytes).map_err(damaged)?;
    Ok(Some(state))
}

fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> RecordError {
    let path = path.to_owned();
    move |source| RecordError::Io { doing, path, source }
}

/// Names and ports of a policy concern root alone, and nobody else may put records there.
fn make_directory(path: &Path) -> Result<()> {
    const MODE: u32 = 0o700;
    let make = || -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(MODE).create(path)?;
        if fs::metadata(path)?.mode() & 0o777 != MODE {
            fs::set_permissions(path, Permissions::from_mode(MODE))?;
        }
        Ok(())
    };
    make().map_err(failed("make the directory", path))
}

fn remove_directory(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", path)(error)),
        _ => Ok(()),
    }
}

fn remove_file(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", path)(error)),
        _ => Ok(()),
    }
}

/// Returns whether a file holds exactly these bytes.
fn is_kept(path: &Path, bytes: &[u8]) -> bool {
    read(path, MAX_SOURCES).is_ok_and(|saved| saved.is_some_and(|saved| saved == bytes))
}

/// Returns all of a file, or nothing if there is none.
fn read(path: &Path, limit: u64) -> Result<Option<Vec<u8>>> {
    // Without O_NONBLOCK, opening a pipe waits for a writer.
    let file = match File::options().read(true).custom_flags(O_NONBLOCK).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        result => result.map_err(failed("read", path))?,
    };
    let metadata = file.metadata().map_err(failed("read", path))?;
    if !metadata.is_file() || ![0, geteuid().as_raw()].contains(&metadata.uid()) {
        let reason = "it is not a file of root's".into();
        return Err(RecordError::Damaged { path: path.to_owned(), reason });
    }
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes).map_err(failed("read", path))?;
    if bytes.len() as u64 > limit {
        let reason = format!("it has more than {} MiB", limit >> 20);
        return Err(RecordError::Damaged { path: path.to_owned(), reason });
    }
    Ok(Some(bytes))
}

/// Writes a file so that it is complete or as it was before, even after a loss of power.
fn write(directory: &Path, name: &str, bytes: &[u8]) -> Result<()> {
    let path = directory.join(name);
    let beside = directory.join(format!("{name}.new"));
    let write = || -> io::Result<()> {
        let mut options = File::options();
        // With O_NONBLOCK, opening a pipe is an error, instead of a wait for a reader.
        options.create(true).truncate(true).write(true).mode(0o600).custom_flags(O_NONBLOCK);
        let mut file = options.open(&beside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&beside, &path)?;
        File::open(directory)?.sync_all()
    };
    write().map_err(failed("write", &path))
}

#[cfg(test)]
mod tests {
    use nix::sys::stat::Mode;
    use nix::unistd::mkfifo;
    use std::time::Duration;

    use dockfw_policy::engine::EngineName;

    use super::*;
    use crate::records::{Now, Pending, Summary};

    struct StoreFixture(tempfile::TempDir, Store);

    fn fixture() -> StoreFixture {
        let directory = tempfile::tempdir().unwrap();
        let store =
            Store { directory: directory.path().join("dockfw"), stand_in: directory.path().join("run") };
        StoreFixture(directory, store)
    }

    fn save(store: &Store, text: &str) -> Record {
        let config = Path::new("/etc/dockfw.toml").to_owned();
        let sources = Sources::of_file(&config, text).seal().unwrap();
        store.save(&sources).unwrap();
        let digest = sources.digest().to_owned();
        Record { id: text.into(), config, digest, engine: EngineName::Nftables, force: false, applied_at: 1 }
    }

    fn saved(store: &Store) -> usize {
        fs::read_dir(store.directory.join(SOURCES)).unwrap().count()
    }

    #[test]
    fn what_is_written_is_read_and_what_no_state_names_goes() {
        let StoreFixture(_directory, store) = fixture();
        assert_eq!(store.read().unwrap(), State::default());
        let [a, b, c] = ["a", "b", "c"].map(|text| save(&store, text));
        let state = State::default().apply(a).apply(b.clone());
        store.write(&state).unwrap();
        assert_eq!(store.read().unwrap(), state);
        assert_eq!(saved(&store), 2);
        assert!(matches!(store.sources(&c), Err(RecordError::Damaged { .. })));
        assert_eq!(store.sources(&b).unwrap(), Sources::of_file(Path::new("/etc/dockfw.toml"), "b"));
        store.remove().unwrap();
        store.remove().unwrap();
        assert!(!store.directory.exists());
    }

    #[test]
    fn only_root_may_read_them() {
        let StoreFixture(_directory, store) = fixture();
        // Something else may have made it like this.
        fs::create_dir(&store.directory).unwrap();
        fs::set_permissions(&store.directory, Permissions::from_mode(0o777)).unwrap();
        let state = State::default().apply(save(&store, "a"));
        store.write(&state).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&store.directory), 0o700);
        assert_eq!(mode(&store.directory.join(STATE)), 0o600);
        assert_eq!(mode(&store.directory.join(SOURCES).join(&state.confirmed.unwrap().digest)), 0o600);
    }

    #[test]
    fn what_is_no_file_of_roots_is_damage_and_keeps_nobody() {
        let StoreFixture(_directory, store) = fixture();
        let record = save(&store, "a");
        let state = store.directory.join(STATE);
        mkfifo(&state, Mode::S_IRWXU).unwrap();
        assert!(matches!(store.read(), Err(RecordError::Damaged { .. })));
        store.write(&State::default().apply(record)).unwrap();
        assert!(store.read().unwrap().confirmed.is_some(), "and replaced");
        if geteuid().is_root() {
            std::os::unix::fs::chown(&state, Some(65534), None).unwrap();
            assert!(matches!(store.read(), Err(RecordError::Damaged { .. })));
        }
    }

    #[test]
    fn odd_values_are_only_odd() {
        let StoreFixture(_directory, store) = fixture();
        let policy = Record { applied_at: u64::MAX, digest: "../../x".into(), ..save(&store, "a") };
        let pending =
            Pending { policy: policy.clone(), boot_id: String::new(), deadline_ms: u64::MAX, enable: false };
        store.write(&State::default().apply(policy.clone()).await_confirmation(pending)).unwrap();
        let state = store.read().unwrap();
        let now = Now { boot_id: String::new(), since_boot: Duration::ZERO };
        assert!(state.pending.as_ref().unwrap().time_left(&now).is_some());
        assert!(store.sources(&policy).is_err());
        Summary::of(&state, &now).lines();
    }

    /// A directory in the place of the file that is to be renamed: a failure for root, too.
    #[test]
    fn what_is_so_already_stands_in_where_it_can_not_be_written() {
        let StoreFixture(_directory, store) = fixture();
        let [a, b] = ["a", "b"].map(|text| State::default().apply(save(&store, text)));
        store.write(&a).unwrap();
        let obstacle = store.directory.join("state.json.new");
        fs::create_dir(&obstacle).unwrap();
        assert!(store.write(&b).is_err());
        assert_eq!(store.read().unwrap(), a);
        assert!(store.note(&b).is_err());
        assert_eq!(store.read().unwrap(), b);
        fs::remove_dir(&obstacle).unwrap();
        store.write(&a).unwrap();
        assert_eq!(store.read().unwrap(), a, "what can be written again counts");
    }

    #[test]
    fn damage_is_told() {
        let StoreFixture(_directory, store) = fixture();
        let record = save(&store, "a");
        store.write(&State::default().apply(record.clone())).unwrap();
        fs::write(store.directory.join(SOURCES).join(&record.digest), "b").unwrap();
        assert!(store.sources(&record).unwrap_err().to_string().contains("is damaged"));
        assert_eq!(save(&store, "a"), record, "and repaired where it is kept again");
        assert!(store.sources(&record).is_ok());
        let whole = fs::read_to_string(store.directory.join(STATE)).unwrap();
        for bad in
            ["", "{}", "\0", &whole[..whole.len() / 2], &whole.replace("\"format\": 1", "\"format\": 2")]
        {
            fs::write(store.directory.join(STATE), bad).unwrap();
            assert!(matches!(store.read(), Err(RecordError::Damaged { .. })), "{bad:?}");
        }
    }
}
