//! The database's journal after a loss of power.
//!
//! What was not synced may be on the disk in any part: the end of a batch without its middle,
//! a sector of zeros between two others. fjall 3.1 stops at a batch that is cut off, but
//! refuses to open, or panics, at one that is torn within. Such a batch was confirmed to
//! nobody, so before the database is opened its journal is cut after the last batch that is
//! whole. What is cut off is kept beside it, and whether anything that *was* confirmed has
//! gone too is told afterwards by the number of the last batch (see the module above).
//!
//! A batch is a start (tag, number of items, sequence number), its items, and an end (tag,
//! checksum over the items, trailer); integers are little-endian. A test holds this to what
//! the database writes.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::Xxh3;

const TAG_START: u8 = 1;
const TAG_ITEM: u8 = 2;
const TAG_END: u8 = 3;
const TAG_CLEAR: u8 = 4;
const TRAILER: [u8; 4] = [b'F', b'J', b'L', 3];

/// Bytes of an item before its key: tag, type, compression, keyspace, three lengths.
const ITEM_HEAD_BYTES: usize = 21;

/// What is read at once.
const PIECE_BYTES: usize = 64 * 1024;

/// A journal that was torn, as a loss of power leaves it, and was cut after its last whole
/// batch.
#[derive(Debug, PartialEq, Eq)]
pub struct Mended {
    /// The journal.
    pub path: PathBuf,
    /// Where it ends now.
    pub at: u64,
    /// Where what followed is.
    pub rest: PathBuf,
}

/// Cuts the youngest journal of the database in `dir` after its last whole batch, if anything
/// but zeros follows that. Older journals were synced when they were closed: what is wrong
/// with them is for the database to refuse.
pub(super) fn mend(dir: &Path) -> io::Result<Option<Mended>> {
    match youngest(dir)? {
        Some((number, path)) => mend_one(dir, number, path),
        None => Ok(None),
    }
}

fn mend_one(dir: &Path, number: u64, path: PathBuf) -> io::Result<Option<Mended>> {
    let file = OpenOptions::new().read(true).write(true).open(&path)?;
    let at = whole_until(&file)?;
    let Some(end) = last_nonzero(&file, at)? else {
        return Ok(None);
    };
    let rest = dir.with_extension(format!("torn-{number}-{at}"));
    let mut reader = &file;
    reader.seek(SeekFrom::Start(at))?;
    let mut kept = File::create(&rest)?;
    io::copy(&mut reader.take(end - at), &mut kept)?;
    kept.sync_all()?;
    file.set_len(at)?;
    file.sync_all()?;
    Ok(Some(Mended { path, at, rest }))
}

/// Writes what the system has of the journals once more, in the place where it is, and forces
/// it to disk: after an fsync that failed, pages that are not on the disk may count as if they
/// were. Where batches are cut off, because a write failed, they are mended; the youngest
/// journal may have been begun after the one in which that is.
pub(super) fn write_again(dir: &Path) -> io::Result<()> {
    let mut journals = journals(dir)?;
    for path in journals.values() {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        let end = last_nonzero(&file, 0)?.unwrap_or(0);
        let (mut at, mut piece) = (0, vec![0; PIECE_BYTES]);
        while at < end {
            let length = (end - at).min(PIECE_BYTES as u64) as usize;
            let piece = piece.get_mut(..length).unwrap_or_default();
            file.read_exact_at(piece, at)?;
            file.write_all_at(piece, at)?;
            at += length as u64;
        }
        file.sync_all()?;
    }
    while let Some((number, path)) = journals.pop_last() {
        mend_one(dir, number, path.clone())?;
        if whole_until(&File::open(&path)?)? > 0 {
            break;
        }
    }
    Ok(())
}

/// The youngest journal of the database in `dir`, with its number.
pub(super) fn youngest(dir: &Path) -> io::Result<Option<(u64, PathBuf)>> {
    Ok(journals(dir)?.pop_last())
}

/// Where the journal `number` is.
pub(super) fn journal(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number}.jnl"))
}

/// The journals by their numbers, later ones after earlier ones.
fn journals(dir: &Path) -> io::Result<BTreeMap<u64, PathBuf>> {
    let mut journals = BTreeMap::new();
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(journals),
        entries => entries?,
    };
    for entry in entries {
        let path = entry?.path();
        let number = path.file_name().and_then(|name| name.to_str());
        let number = number.and_then(|name| name.strip_suffix(".jnl")?.parse().ok());
        if let Some(number) = number {
            journals.insert(number, path);
        }
    }
    Ok(journals)
}

/// Where the last of the whole batches at the beginning of `file` ends.
fn whole_until(file: &File) -> io::Result<u64> {
    let mut input = Input {
        left: file.metadata()?.len(),
        reader: BufReader::with_capacity(PIECE_BYTES, file),
        at: 0,
    };
    input.reader.seek(SeekFrom::Start(0))?;
    let (mut end, mut last) = (0, None);
    while let Some(sequence) = input.batch()? {
        if last.is_some_and(|last| sequence <= last) {
            break;
        }
        (end, last) = (input.at, Some(sequence));
    }
    Ok(end)
}

/// One past the last byte from `from` on that is not zero.
fn last_nonzero(file: &File, from: u64) -> io::Result<Option<u64>> {
    let mut reader = BufReader::with_capacity(PIECE_BYTES, file);
    let (mut at, mut end) = (reader.seek(SeekFrom::Start(from))?, None);
    let zeros = vec![0; PIECE_BYTES];
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let read = reader.read(&mut piece)?;
        if read == 0 {
            return Ok(end);
        }
        // Most of a journal is nothing yet: whole pieces are compared at once.
        if piece.get(..read) != zeros.get(..read) {
            let used = piece.iter().take(read).rposition(|byte| *byte != 0);
            end = used.map(|place| at + place as u64 + 1).or(end);
        }
        at += read as u64;
    }
}

/// A journal being read. `None` stands for what is not whole.
struct Input<'a> {
    reader: BufReader<&'a File>,
    at: u64,
    left: u64,
}

impl Input<'_> {
    /// Reads a batch; its sequence number.
    fn batch(&mut self) -> io::Result<Option<u64>> {
        let Some([TAG_START, head @ ..]) = self.bytes::<13>()? else {
            return Ok(None);
        };
        let [a, b, c, d, sequence @ ..] = head;
        let mut checksum = Xxh3::new();
        for _ in 0..u32::from_le_bytes([a, b, c, d]) {
            if !self.item(&mut checksum)? {
                return Ok(None);
            }
        }
        let Some([TAG_END, end @ ..]) = self.bytes::<13>()? else {
            return Ok(None);
        };
        let expected = [checksum.digest().to_le_bytes().as_slice(), &TRAILER].concat();
        Ok((end == *expected).then(|| u64::from_le_bytes(sequence)))
    }

    /// Reads an item into the checksum.
    fn item(&mut self, checksum: &mut Xxh3) -> io::Result<bool> {
        let Some([tag]) = self.bytes::<1>()? else {
            return Ok(false);
        };
        checksum.update(&[tag]);
        match tag {
            TAG_CLEAR => self.skip(8, checksum),
            TAG_ITEM => {
                let Some(head) = self.bytes::<{ ITEM_HEAD_BYTES - 1 }>()? else {
                    return Ok(false);
                };
                checksum.update(&head);
                let [_, _, _, _, _, _, _, _, _, _, k, l, _, _, _, _, a, b, c, d] = head;
                let key = u64::from(u16::from_le_bytes([k, l]));
                let value = u64::from(u32::from_le_bytes([a, b, c, d]));
                self.skip(key + value, checksum)
            }
            _ => Ok(false),
        }
    }

    fn bytes<const N: usize>(&mut self) -> io::Result<Option<[u8; N]>> {
        let mut bytes = [0; N];
        if self.left < N as u64 {
            return Ok(None);
        }
        self.reader.read_exact(&mut bytes)?;
        self.left -= N as u64;
        self.at += N as u64;
        Ok(Some(bytes))
    }

    /// Reads `count` bytes into the checksum.
    fn skip(&mut self, count: u64, checksum: &mut Xxh3) -> io::Result<bool> {
        if self.left < count {
            return Ok(false);
        }
        let mut left = count;
        let mut piece = [0; 4096];
        while left > 0 {
            let length = piece.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let Some(piece) = piece.get_mut(..length) else {
                return Ok(false);
            };
            self.reader.read_exact(piece)?;
            checksum.update(piece);
            left -= length as u64;
        }
        self.left -= count;
        self.at += count;
        Ok(true)
    }
}
