//! Each case of `tests/golden` is rendered as what is written beside it.
//!
//! `UPDATE_GOLDEN=1` rewrites what is expected.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use dockfw_compat::{Rendering, render};
use dockfw_policy::compile::compile;
use dockfw_policy::{Files, LoadOptions, load};

/// The files of a case, by relative paths: places in the output must not depend on where the checkout lies.
struct Case(PathBuf);

impl Files for Case {
    fn read(&self, path: &Path, _: u64) -> io::Result<Vec<u8>> {
        fs::read(self.0.join(path))
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<PathBuf>> {
        let entries = fs::read_dir(self.0.join(directory))?;
        entries.map(|entry| Ok(directory.join(entry?.file_name()))).collect()
    }
}

fn rendering(case: &Path) -> Rendering {
    let options = LoadOptions { allow_trusting_everyone: true };
    let loaded = load(Path::new("dockfw.toml"), &Case(case.into()), options);
    let mut policy = loaded.unwrap_or_else(|rejected| panic!("{rejected}")).policy;
    // This engine has no hook before connection tracking that could drop early.
    policy.engine.prefilter = false;
    render(&compile(&policy)).unwrap()
}

fn check(case: &Path, file: &str, actual: &str) {
    let path = case.join(file);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, actual).unwrap();
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert!(expected == actual, "{} differs; the policy is now rendered as\n{actual}", path.display());
}

#[test]
fn each_case_is_rendered_as_what_is_written_beside_it() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden");
    let cases: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(cases.len() > 5, "only {} cases", cases.len());
    for case in cases {
        let Rendering { ipset, iptables, ip6tables } = rendering(&case);
        check(&case, "expected.ipset", &ipset);
        check(&case, "expected.iptables", &iptables);
        check(&case, "expected.ip6tables", &ip6tables);
    }
}
