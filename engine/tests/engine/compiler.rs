//! Compiling in a process of its own, with programs that are no compiler. The real one is `picket guard compile`, and
//! tests/hostile_corpus.rs has it trip its limits.

use std::time::{Duration, Instant};

use picket_engine::{CompilerProcess, Engine, EngineOptions, LoadError};

use crate::guard::Guard;
use crate::patient;

/// Loads an honest guard with the shell command `script` as the compiler.
fn refused(script: &str) -> LoadError {
    let compiler = CompilerProcess {
        program: "/bin/sh".into(),
        arguments: vec!["-c".into(), script.into()],
        memory: 256 << 20,
        cpu: Duration::from_secs(1),
        wall: Duration::from_secs(2),
    };
    let options = EngineOptions { instances: 1, streams: 0, compiler: Some(compiler), ..EngineOptions::default() };
    let engine = Engine::new(options).unwrap();
    let started = Instant::now();
    let error = engine.load_validator("suspect", &Guard::default().component(), "{}", patient()).err().unwrap();
    assert!(started.elapsed() < Duration::from_secs(60), "{script} was let go on");
    assert!(error.to_string().contains("guard `suspect`"), "{error}");
    error
}

#[test]
fn a_compiler_that_does_not_come_to_an_end_is_stopped() {
    for script in
        ["exec sleep 1000", "exec >&-; exec sleep 1000", "sleep 1000 & exec sleep 1000", "while :; do echo x >&2; done"]
    {
        let error = refused(script);
        assert!(error.to_string().contains("more time than the 2 s"), "{script}: {error}");
    }
}

#[test]
fn a_compiler_that_says_nonsense_or_dies_is_a_refusal_with_its_words() {
    for (script, words) in [
        ("exit 3", "it ended with code 3"),
        ("echo broken >&2; exit 1", "it ended with code 1: broken"),
        ("kill -SEGV $$", "it ended by signal 11"),
        ("kill -KILL $$", "it was killed"),
        ("kill -XCPU $$", "more processor time than the 1 s"),
        ("echo 'memory allocation of 7 bytes failed' >&2; kill -ABRT $$", "more memory than the 256 MiB"),
        ("echo running 0 tests", "it ended with code 0"),
        ("head -c 100000 /dev/zero", "it ended with"),
        // An answer of one byte, which is no guard.
        ("printf 'picketA1\\001\\000\\000\\000\\000\\000\\000\\000\\001x'", "its answer is no guard"),
        // Code that is none: the runtime looks at it before it is run.
        ("printf 'picketA1\\001\\000\\000\\000\\000\\000\\000\\000\\007\\001\\000\\000code'", "does not compile"),
        // A gigabyte is promised, and does not come.
        ("printf 'picketA1\\001\\000\\000\\000\\000\\077\\000\\000\\000x'", "it ended with code 0"),
    ] {
        let error = refused(script);
        assert!(error.to_string().contains(words), "{script}: {error}");
    }
}

#[test]
fn a_compiler_that_is_not_there_is_named() {
    let compiler = CompilerProcess {
        program: "/nowhere/compiler".into(),
        arguments: Vec::new(),
        memory: 256 << 20,
        cpu: Duration::from_secs(1),
        wall: Duration::from_secs(1),
    };
    let options = EngineOptions { instances: 1, compiler: Some(compiler), ..EngineOptions::default() };
    let engine = Engine::new(options).unwrap();
    let error = engine.load_validator("suspect", &Guard::default().component(), "{}", patient()).err().unwrap();
    assert!(error.to_string().contains("`/nowhere/compiler` does not start"), "{error}");
}
