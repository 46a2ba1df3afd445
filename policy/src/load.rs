//! Reads a policy: the main file, the files in `conf.d` beside it, and the lists that these name.
//!
//! The crate opens no file itself; it asks a [`Files`], which the program implements on the file system.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::{Path, PathBuf};

use crate::config::{self, Config, Findings};
use crate::diagnostic::{Diagnostic, Diagnostics, Report, Sources, Span};
use crate::files::{Files, Strictness, Unread, read};
use crate::lists::Lists;
use crate::policy::Policy;
use crate::resolve::Resolver;

/// The biggest policy file; longer lists belong in files of their own.
const MAX_SIZE: u64 = 16 * 1024 * 1024;

/// The directory beside the main file whose `.toml` files add to it.
const DIRECTORY: &str = "conf.d";

/// A policy that may be put in force.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The policy.
    pub policy: Policy,
    /// What the operator should know about it.
    pub warnings: Report,
}

/// A policy that may not be put in force.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{}", errors.render(false).trim_end())]
pub struct Rejected {
    /// All that is wrong with it.
    pub errors: Report,
}

/// Reads and checks the policy whose main file is at `path`.
pub fn load(path: &Path, files: &dyn Files, strictness: Strictness) -> Result<Loaded, Rejected> {
    let (policy, warnings) = resolved(path, files, strictness, |resolver| resolver.policy())?;
    Ok(Loaded { policy, warnings })
}

/// Reads the same policy, and returns its lists that have names.
pub fn lists(path: &Path, files: &dyn Files, strictness: Strictness) -> Result<Lists, Rejected> {
    resolved(path, files, strictness, |resolver| resolver.named_lists()).map(|(lists, _)| lists)
}

/// Returns what is resolved of a policy, and the warnings about it.
fn resolved<T>(
    path: &Path,
    files: &dyn Files,
    strictness: Strictness,
    resolve: impl for<'a> FnOnce(&mut Resolver<'a>) -> T,
) -> Result<(T, Report), Rejected> {
    let mut loader = Loader { files, findings: Findings::default() };
    let config = loader.config(path);
    let mut warnings = Diagnostics::default();
    let resolved = resolve(&mut Resolver {
        config: &config,
        files,
        strictness,
        sources: &mut loader.findings.sources,
        errors: &mut loader.findings.errors,
        warnings: &mut warnings,
        groups: BTreeMap::new(),
        gathered: HashMap::new(),
        lists: HashMap::new(),
    });
    let Findings { sources, errors } = loader.findings;
    if errors.is_empty() {
        Ok((resolved, Report::warnings(sources, warnings)))
    } else {
        Err(Rejected { errors: Report::errors(sources, errors) })
    }
}

struct Loader<'a> {
    files: &'a dyn Files,
    findings: Findings,
}

impl Loader<'_> {
    /// Reads all that was typed.
    fn config(&mut self, path: &Path) -> Config {
        let mut config = Config::default();
        self.file(path, &mut config);
        for path in self.additions(path) {
            self.file(&path, &mut config);
        }
        let Findings { sources, errors } = &mut self.findings;
        if !config.is_typed && errors.is_empty() {
            errors.push(empty(path, sources));
        }
        config
    }

    fn file(&mut self, path: &Path, config: &mut Config) {
        match read(self.files, path, MAX_SIZE) {
            Ok(bytes) => config::decode(path, &bytes, config, &mut self.findings),
            Err(unread) => {
                config.is_incomplete = true;
                self.findings.errors.push(Diagnostic::new(unread.message(path)).help(unread.help()));
            }
        }
    }

    /// Returns the policy files of `conf.d`, in the order of their names. Names with a leading dot are left out, as by a
    /// shell: editors name their copies like that.
    fn additions(&mut self, path: &Path) -> Vec<PathBuf> {
        let directory = path.parent().unwrap_or(Path::new("")).join(DIRECTORY);
        let mut paths = match self.files.list(&directory) {
            Ok(paths) => paths,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Vec::new(),
            Err(error) => {
                self.findings.errors.push(Diagnostic::new(Unread::Failed(error).message(&directory)));
                return Vec::new();
            }
        };
        paths.retain(|path| is_policy_file(path));
        paths.sort_by(|a, b| a.file_name().cmp(&b.file_name()));
        paths
    }
}

fn is_policy_file(path: &Path) -> bool {
    let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
    !hidden && path.extension().is_some_and(|extension| extension == "toml")
}

/// Returns the error for a policy without any key. To put that in force would shut the operator out.
fn empty(path: &Path, sources: &mut Sources) -> Diagnostic {
    let span = Span { file: sources.add_line(path, 1, String::new()), start: 0, end: 0 };
    Diagnostic::new("the policy is empty: nobody would reach this host").at(span).help(
        "write at least one line with an address of yours, as in trusted = [\"203.0.113.7\"], \
         or an [[allow]] with a name and ports",
    )
}
