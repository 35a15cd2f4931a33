//! How much memory guards may have: what the configuration says, within what the control group of the process allows.
//!
//! A container's limit does not show in the machine's size. Whoever goes above it is killed, with every verdict that was
//! under way, so that what the operator left open is kept to a share of it, and what he set above it is told to him.

use crate::config::Config;
use std::path::{Path, PathBuf};

/// Most memory of all instances, when the configuration leaves it open.
const GUARD_MEMORY: u64 = 512 << 20;
/// Most memory for compiling one guard, when the configuration leaves it open.
const COMPILE_MEMORY: u64 = 1 << 30;
/// Less does not compile the smallest guard.
pub(crate) const LEAST_COMPILE_MEMORY: u64 = 128 << 20;
/// What a place of the pool keeps between two checks, where there is enough.
const KEEP_RESIDENT: u64 = 2 << 20;

/// How memory is shared out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// Most linear memory of all instances together, in bytes.
    pub guards: u64,
    /// Most memory for compiling one guard, in bytes.
    pub compiling: u64,
    /// What each of `places` of the pool keeps between two checks, in bytes.
    keep: u64,
    /// The smallest limit of the control groups that the process is in, in bytes.
    pub limit: Option<u64>,
}

impl Memory {
    /// As configured, within the control groups of this process.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        Self::within(config, limit(Path::new("/proc/self/cgroup"), Path::new("/sys/fs/cgroup")))
    }

    fn within(config: &Config, limit: Option<u64>) -> Self {
        let share = |of: u64| limit.map_or(u64::MAX, |limit| limit / of);
        Self {
            guards: config.edge.guard_memory.unwrap_or(GUARD_MEMORY.min(share(4))),
            compiling: config
                .edge
                .compile_memory
                .unwrap_or(COMPILE_MEMORY.min(share(4).saturating_mul(3)).max(LEAST_COMPILE_MEMORY)),
            keep: share(16),
            limit,
        }
    }

    /// What each of `places` of the pool keeps between two checks, in bytes: a sixteenth of the limit for all.
    pub(super) fn keep_resident(&self, places: u32) -> usize {
        usize::try_from(KEEP_RESIDENT.min(self.keep / u64::from(places.max(1)))).unwrap_or(0)
    }

    /// What the operator has set above the limit: a sentence each, with both numbers.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let Some(limit) = self.limit else { return Vec::new() };
        let set = [("edge.guard_memory", self.guards), ("edge.compile_memory", self.compiling)];
        let above = set.into_iter().filter(|(_, bytes)| *bytes > limit);
        let say = |(key, bytes): (&str, u64)| {
            format!(
                "`{key}` is {} MiB, but the control group of this process may have {} MiB: the kernel will kill it before \
                 guards have what they may; lower the one or raise the other",
                bytes >> 20,
                limit >> 20
            )
        };
        above.map(say).collect()
    }
}

/// The smallest memory limit of the control groups that `membership` (the form of `/proc/self/cgroup`, see cgroups(7))
/// names, and of those above them, below `root`. `None` when there is none, or it cannot be read.
fn limit(membership: &Path, root: &Path) -> Option<u64> {
    let membership = std::fs::read_to_string(membership).ok()?;
    let groups = membership.lines().filter_map(|line| {
        let mut parts = line.splitn(3, ':');
        let (_, controllers, group) = (parts.next()?, parts.next()?, parts.next()?);
        match controllers {
            "" => {
                Some((vec![root.to_path_buf(), root.join("unified")], ["memory.max", "memory.high"].as_slice(), group))
            }
            _ if controllers.split(',').any(|controller| controller == "memory") => {
                Some((vec![root.join("memory")], ["memory.limit_in_bytes"].as_slice(), group))
            }
            _ => None,
        }
    });
    groups
        .flat_map(|(roots, files, group)| roots.into_iter().filter_map(move |root| smallest(&root, group, files)))
        .min()
}

/// In a container the group's own path may not be mounted, and the root is the group: what is there counts.
fn smallest(root: &Path, group: &str, files: &[&str]) -> Option<u64> {
    let mut folders: Vec<PathBuf> = vec![root.to_path_buf()];
    let mut folder = root.to_path_buf();
    for part in group.split('/').filter(|part| !part.is_empty() && *part != "..") {
        folder.push(part);
        folders.push(folder.clone());
    }
    let limits = folders.iter().flat_map(|folder| {
        files.iter().filter_map(|file| std::fs::read_to_string(folder.join(file)).ok()?.trim().parse::<u64>().ok())
    });
    // Version 1 says "none" by the largest number of pages; `max` of version 2 is no number.
    limits.filter(|bytes| (1..1 << 60).contains(bytes)).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tree of control groups, and what /proc says of the process.
    fn tree(membership: &str, files: &[(&str, &str)]) -> Option<u64> {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("cgroup");
        for (path, contents) in files {
            let path = root.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, contents).unwrap();
        }
        std::fs::write(folder.path().join("self"), membership).unwrap();
        limit(&folder.path().join("self"), &root)
    }

    #[test]
    fn the_smallest_limit_above_the_process_counts() {
        type Case = (&'static str, &'static [(&'static str, &'static str)], Option<u64>);
        let cases: [Case; 8] = [
            ("0::/a/b\n", &[("a/memory.max", "268435456\n"), ("a/b/memory.max", "max\n")], Some(256 << 20)),
            ("0::/a\n", &[("a/memory.max", "max\n"), ("a/memory.high", "1048576\n")], Some(1 << 20)),
            ("0::/a\n", &[("a/memory.max", "max\n")], None),
            // A container sees its own group as the root.
            ("0::/\n", &[("memory.max", "536870912\n")], Some(512 << 20)),
            ("0::/../x\n", &[("memory.max", "536870912\n")], Some(512 << 20)),
            (
                "4:memory:/a\n3:cpuset:/\n",
                &[
                    ("memory/memory.limit_in_bytes", "9223372036854771712\n"),
                    ("memory/a/memory.limit_in_bytes", "4096\n"),
                ],
                Some(4096),
            ),
            ("4:cpu,memory:/\n", &[("memory/memory.limit_in_bytes", "9223372036854771712\n")], None),
            ("nonsense\n\n:\n", &[("memory.max", "nonsense\n")], None),
        ];
        for (membership, files, expected) in cases {
            assert_eq!(tree(membership, files), expected, "{membership} {files:?}");
        }
        assert_eq!(limit(Path::new("/nowhere/at/all"), Path::new("/nowhere")), None);
    }

    fn config(edge: &str) -> Config {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("picket.toml");
        std::fs::write(&file, format!("[edge]\nid = \"b\"\n{edge}\n")).unwrap();
        crate::config::load(&file).unwrap()
    }

    #[test]
    fn what_is_left_open_is_a_share_of_the_limit_and_what_is_set_stays() {
        let open = config("");
        let free = Memory::within(&open, None);
        assert_eq!((free.guards, free.compiling, free.keep_resident(40)), (512 << 20, 1 << 30, 2 << 20));
        let small = Memory::within(&open, Some(512 << 20));
        assert_eq!((small.guards, small.compiling, small.keep_resident(32)), (128 << 20, 384 << 20, 1 << 20));
        assert_eq!(Memory::within(&open, Some(64 << 20)).compiling, 128 << 20);

        let set = config("guard_memory = \"1GiB\"\ncompile_memory = \"256MiB\"");
        let above = Memory::within(&set, Some(512 << 20));
        assert_eq!((above.guards, above.compiling), (1 << 30, 256 << 20));
        let [warning] = above.warnings().try_into().unwrap();
        assert!(warning.contains("`edge.guard_memory` is 1024 MiB") && warning.contains("512 MiB"), "{warning}");
        assert_eq!(small.warnings(), Vec::<String>::new());
        assert_eq!(Memory::within(&set, None).warnings(), Vec::<String>::new());
    }
}
