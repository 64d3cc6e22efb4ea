//! A disk that fails on command: a node's reads and writes of its directory, through
//! `faulty_disk.c`, which a test builds with the machine's C compiler.

use std::fs::OpenOptions;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use super::Node;

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/faulty_disk.c");

/// How a disk fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It does not.
    None,
    /// Writes: no space is left.
    NoSpace,
    /// Writes: an I/O error.
    Write,
    /// fsync: an I/O error.
    Sync,
    /// Writes, and opening for writing: the file system is read-only.
    ReadOnly,
    /// Reads: an I/O error.
    Read,
}

impl Fault {
    fn byte(self) -> u8 {
        match self {
            Self::None => b'-',
            Self::NoSpace => b'S',
            Self::Write => b'W',
            Self::Sync => b'F',
            Self::ReadOnly => b'O',
            Self::Read => b'R',
        }
    }

    /// What the system says of it.
    pub fn words(self) -> &'static str {
        match self {
            Self::None => "",
            Self::NoSpace => "No space left on device",
            Self::Write | Self::Sync | Self::Read => "Input/output error",
            Self::ReadOnly => "Read-only file system",
        }
    }
}

/// The disk of one node.
pub struct FaultyDisk {
    control: PathBuf,
}

impl FaultyDisk {
    /// Puts a disk that works so far under `node`, from its next start on.
    #[track_caller]
    pub fn under(node: &mut Node) -> Self {
        let data = node.data();
        let control = data.with_extension("fault");
        std::fs::write(&control, [Fault::None.byte()]).expect("control file");
        node.environment.extend([
            ("LD_PRELOAD", library().to_owned()),
            ("FAULTY_DISK_CONTROL", control.clone()),
            ("FAULTY_DISK_UNDER", data),
        ]);
        Self { control }
    }

    /// From now on it fails so. In place: the node has the file mapped.
    #[track_caller]
    pub fn fail(&self, fault: Fault) {
        let mut file = OpenOptions::new().write(true).open(&self.control);
        let file = file.as_mut().expect("control file");
        file.seek(SeekFrom::Start(0)).expect("control file");
        file.write_all(&[fault.byte()]).expect("control file");
    }
}

/// The library, built once per process.
#[track_caller]
fn library() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let library = directory.join("faulty_disk.so");
        // Another test process may have it in use, or be building it: replaced in one step.
        let fresh = directory.join(format!("faulty_disk-{}.so", std::process::id()));
        let built = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"])
            .arg(&fresh)
            .args([SOURCE, "-ldl"])
            .status();
        assert!(
            built.expect("cc runs").success(),
            "{SOURCE} does not compile"
        );
        std::fs::rename(&fresh, &library).expect("library");
        library
    })
}
