//! Boxes with little: 2 GB of address space, and control groups with limits on memory.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use support::{Place, Ran, guard, hostile, inference, inferences};

/// Runs `picket` in a shell that has done `first`, with `input`.
fn after(place: &Place, first: &str, arguments: &[&str], input: &str) -> Ran {
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("{first}; exec \"$0\" \"$@\""), env!("CARGO_BIN_EXE_picket")]).args(arguments);
    shell.current_dir(place.path("")).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = shell.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    let writer = std::thread::spawn(move || drop(stdin.write_all(input.as_bytes())));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    Ran::of(output)
}

fn pii_and_structure(memory: &str) -> String {
    let table = |name: &str, settings: &str| {
        let component = guard(name);
        format!(
            "[[guard]]\nname = \"{name}\"\ncomponent = \"{component}\"\ndeadline = \"5s\"\nmemory = \"{memory}\"\n\
             settings = {settings}\n"
        )
    };
    table("pii", "{ entities = [\"email\"], placeholder = \"[email]\" }")
        + &table("structure", "{ max_bytes = 1000000 }")
}

const TWO_GIGABYTES: &str = "ulimit -v 2097152";

#[test]
fn two_gigabytes_of_address_space_hold_pii_and_structure() {
    let place = Place::new("", &pii_and_structure("32MiB"));
    let input = inferences("n", 200) + &inference("mail", "write to jo@example.org");
    let ran = after(&place, TWO_GIGABYTES, &["check"], &input);
    let ran = ran.expect(0).says(&["0 guard failures", "address space is limited to 2048 MiB", "bounds checks"]);
    let answers = ran.json();
    assert_eq!(answers.len(), 201);
    assert_eq!(answers[200]["output"]["text"], "write to [email]");
    let verdict = place.verdict("mail");
    assert_eq!(verdict["guards"].as_array().unwrap().len(), 2, "{verdict}");
    place.verify();
    let doctor = after(&place, TWO_GIGABYTES, &["doctor"], "").expect(0);
    assert!(doctor.stdout.contains("2 guards and 0 detectors load; the address space is limited"), "{doctor:#?}");
}

#[test]
fn guards_that_want_more_than_there_is_run_without_a_pool() {
    let place = Place::new("workers = 4", &pii_and_structure("1GiB"));
    let ran = after(&place, TWO_GIGABYTES, &["check"], &inference("mail", "write to jo@example.org"));
    let ran = ran.expect(0).says(&["no room for a pool of instances"]);
    assert_eq!(ran.json()[0]["output"]["text"], "write to [email]");
}

#[test]
fn attacks_fail_with_the_same_causes_in_little_address_space() {
    let allow = "on_failure = \"allow\"\nbreaker = \"off\"";
    let guards = hostile("memory", "memory", &format!("memory = \"4MiB\"\n{allow}"))
        + &hostile("out-of-bounds", "out-of-bounds", allow)
        + &hostile("recurse", "recurse", allow)
        + &hostile("loop", "loop", &format!("deadline = \"100ms\"\n{allow}"));
    let place = Place::new("", &guards);
    let ran = after(&place, TWO_GIGABYTES, &["check"], &inferences("n", 10)).expect(0);
    for answer in ran.json() {
        let failures = answer["failures"].as_array().unwrap();
        let causes: Vec<_> = failures.iter().map(|failure| failure["cause"].as_str().unwrap()).collect();
        assert_eq!(causes, ["memory", "trap", "trap", "deadline"]);
    }
}

#[test]
fn guard_memory_for_fewer_than_two_instances_is_refused_by_line() {
    let place = Place::new("guard_memory = \"63MiB\"", &hostile("g", "none", "memory = \"32MiB\""));
    let words = ["picket.toml:4: edge.guard_memory", "fewer than two instances of `g`", "at least `65536KiB`"];
    place.check("").expect(2).says(&words);
    place.configure("guard_memory = \"64MiB\"", &hostile("g", "none", "memory = \"32MiB\""));
    place.check(&inference("a", "text")).expect(0);
}

/// A control group below the one that this process is in, with a limit on its memory; gone when dropped.
struct Group(PathBuf);

impl Group {
    /// `None` where the machine has no such groups, or does not let us make one.
    fn new(bytes: u64) -> Option<Self> {
        let membership = std::fs::read_to_string("/proc/self/cgroup").ok()?;
        let root = Path::new("/sys/fs/cgroup");
        let name = format!("picket-test-{}", std::process::id());
        for line in membership.lines() {
            let (controllers, group) = line.split_once(':')?.1.split_once(':')?;
            let (root, file) = match controllers {
                "memory" => (root.join("memory"), "memory.limit_in_bytes"),
                "" => (root.to_path_buf(), "memory.max"),
                _ => continue,
            };
            let made = Self(root.join(group.trim_start_matches('/')).join(&name));
            if std::fs::create_dir(&made.0).is_ok() && std::fs::write(made.0.join(file), bytes.to_string()).is_ok() {
                return Some(made);
            }
        }
        None
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _best_effort = std::fs::remove_dir(&self.0);
    }
}

#[test]
fn a_control_group_bounds_what_was_left_open_and_warns_of_what_was_set_above_it() {
    let Some(group) = Group::new(640 << 20) else {
        eprintln!("SKIPPED: no control group with a limit on memory can be made here");
        return;
    };
    let join = format!("echo $$ > '{}'", group.0.join("cgroup.procs").display());
    let place = Place::new("", &pii_and_structure("32MiB"));
    after(&place, &join, &["check"], &inferences("n", 50)).expect(0).says(&["0 guard failures"]);
    let doctor = after(&place, &join, &["doctor"], "").expect(0);
    let words = "guards may have 160 MiB, compiling one 480 MiB; its control group may have 640 MiB";
    assert!(doctor.stdout.contains(words), "{doctor:#?}");

    place.configure("guard_memory = \"1GiB\"", &pii_and_structure("32MiB"));
    let both = ["`edge.guard_memory` is 1024 MiB", "may have 640 MiB"];
    after(&place, &join, &["check"], &inference("a", "text")).expect(0).says(&both);
    let doctor = after(&place, &join, &["doctor"], "").expect(1);
    assert!(doctor.stdout.contains("WRONG  memory") && doctor.stdout.contains(both[0]), "{doctor:#?}");
}
