//! Each case of `tests/golden` compiles to what is written beside it, and the native engine loads just that.
//!
//! `UPDATE_GOLDEN=1` rewrites what is expected.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const DOCKFW: &str = env!("CARGO_BIN_EXE_dockfw");

fn cases() -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut cases: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    assert!(cases.len() > 5, "only {} cases", cases.len());
    cases
}

fn stdout_of(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{said}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

fn check(case: &Path, file: &str, actual: &str) {
    let path = case.join(file);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, actual).unwrap();
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert!(expected == actual, "{} differs; the policy now compiles to\n{actual}", path.display());
}

#[test]
fn each_case_compiles_to_what_is_written_beside_it() {
    for case in cases() {
        let show = |format: &str| {
            let mut command = Command::new(DOCKFW);
            // Places in the output must not depend on where the checkout lies.
            command.current_dir(&case).args(["show", "--config", "dockfw.toml", "--format", format]);
            stdout_of(&mut command)
        };
        check(&case, "expected.nft", &show("nft"));
        check(&case, "expected.json", &show("json"));
        for (file, text) in programs(&show("iptables")) {
            check(&case, file, text);
        }
    }
}

/// What each program is given, from the three texts in one.
fn programs(shown: &str) -> [(&'static str, &str); 3] {
    let parts = || {
        let (ipset, rest) =
            shown.strip_prefix("# ipset restore\n")?.split_once("\n# iptables-restore --noflush\n")?;
        let (iptables, ip6tables) = rest.split_once("\n# ip6tables-restore --noflush\n")?;
        Some([("expected.ipset", ipset), ("expected.iptables", iptables), ("expected.ip6tables", ip6tables)])
    };
    parts().unwrap_or_else(|| panic!("not three texts: {shown}"))
}

/// What `nft` lists after `script` ran in a network namespace of its own.
fn listed_after(case: &Path, script: &str) -> String {
    // With a `/run` and a `/var/lib` of its own, for the lock and the records.
    let script = format!(
        "mount -t tmpfs none /run && mount -t tmpfs none /var/lib && {script} >/dev/null && exec nft --numeric list table inet dockfw"
    );
    let mut command = Command::new("unshare");
    stdout_of(command.current_dir(case).args(["--net", "--mount", "sh", "-ec", &script, "sh", DOCKFW]))
}

#[test]
#[ignore = "needs root"]
fn the_native_engine_loads_what_nft_loads_from_the_text() {
    for case in cases() {
        let from_text = listed_after(&case, "nft -f expected.nft");
        let from_us = listed_after(&case, "\"$1\" apply --backend nftables --force --config dockfw.toml");
        assert!(from_text == from_us, "{}\nfrom text:\n{from_text}\nfrom dockfw:\n{from_us}", case.display());
    }
}
