//! Disk images that the operator brings: cloud images with Docker on them, and a list of their checksums beside them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use anyhow::{Context, Result, ensure};
use dockfw_lab::{cache_directory, run};

use crate::disk::{AGENT, AGENT_UNIT, Boot, Disk};
use crate::lock;

/// As sha256sum writes it.
const CHECKSUMS: &str = "SHA256SUMS";
/// For the interface with the machine's hardware address.
const NETWORK: &str = include_str!("../guest/network-config");

/// An image of that name, if it is there and what it should be; an error is a reason to skip the row.
pub(crate) fn checked(name: &Path) -> Result<Disk> {
    let directory = cache_directory("DOCKFW_VMS", "vms")?.join("images");
    let image = directory.join(name);
    ensure!(image.is_file(), "no image {} in DOCKFW_VMS/images", name.display());
    let sums = fs::read_to_string(directory.join(CHECKSUMS)).unwrap_or_default();
    let expected = listed(&sums, name).with_context(|| format!("{CHECKSUMS} has no {}", name.display()))?;
    let found = run(Command::new("sha256sum").arg(&image))?;
    ensure!(found.starts_with(expected), "{} is not what {CHECKSUMS} says", name.display());
    let seed = seed(&directory)?;
    Ok(Disk { image, format: "qcow2", boot: Boot::Itself(seed) })
}

fn listed<'a>(sums: &'a str, name: &Path) -> Option<&'a str> {
    let mut lines = sums.lines().filter_map(|line| line.split_once(char::is_whitespace));
    lines.find(|(_, file)| Path::new(file.trim_start_matches([' ', '*'])) == name).map(|(sum, _)| sum)
}

/// A disk from which cloud-init learns what to do (its NoCloud data source): to start the agent. Made once, for rows that
/// run at the same time have it in common.
fn seed(directory: &Path) -> Result<PathBuf> {
    static MADE: Mutex<bool> = Mutex::new(false);
    let mut made = lock(&MADE);
    let seed = directory.join("seed.img");
    if !*made {
        make_seed(directory)?;
        *made = true;
    }
    Ok(seed)
}

fn make_seed(directory: &Path) -> Result<()> {
    let parts = directory.join("seed");
    fs::create_dir_all(&parts)?;
    fs::write(parts.join("user-data"), user_data())?;
    fs::write(parts.join("meta-data"), "instance-id: host\nlocal-hostname: host\n")?;
    fs::write(parts.join("network-config"), NETWORK)?;
    let script = "rm -f seed.img && mkfs.vfat -C -n CIDATA seed.img 1024 && mcopy -i seed.img seed/* ::";
    run(Command::new("sh").args(["-c", script]).current_dir(directory)).map(drop)
}

fn user_data() -> String {
    let agent = block(AGENT);
    let unit = block(AGENT_UNIT);
    format!(
        "#cloud-config\nwrite_files:\n\
         - path: /usr/local/sbin/vm-agent\n  permissions: '0755'\n  content: |\n{agent}\
         - path: /etc/systemd/system/vm-agent.service\n  content: |\n{unit}\
         runcmd:\n- systemctl daemon-reload\n- systemctl enable vm-agent\n- systemctl start --no-block vm-agent\n"
    )
}

/// As a block of YAML.
fn block(text: &str) -> String {
    text.lines().map(|line| format!("    {line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_found_by_name() {
        let sums = "aa  old-centos-7.qcow2\nbb *centos-7.qcow2\n";
        assert_eq!(listed(sums, Path::new("centos-7.qcow2")), Some("bb"));
        assert_eq!(listed(sums, Path::new("fedora.qcow2")), None);
    }

    #[test]
    fn the_agent_is_a_block() {
        assert!(user_data().contains("  content: |\n    #!/bin/sh\n"));
    }
}
