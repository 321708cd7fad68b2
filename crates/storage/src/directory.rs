//! A node's data directory: whose it is, and that only one process uses it.
//!
//! It holds `meta.properties` (format version, node id, cluster id), `lock`, the database in `db`, and `loss` after that was damaged.

use std::collections::HashMap;
use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use caudal_types::NodeId;

use crate::StorageError;

/// The newest format of a data directory that this release reads, and the one that it writes.
pub const FORMAT_VERSION: u32 = 1;

/// A data directory that belongs to this node, locked until it is dropped.
#[derive(Debug)]
pub struct DataDirectory {
    path: PathBuf,
    _lock: File,
}

impl DataDirectory {
    /// Opens the directory at `path`, or makes it this node's if there is none yet.
    ///
    /// # Errors
    /// [`StorageError::WrongDirectory`] when it is another node's or cluster's, of a newer release, or in use; its text says what
    /// to do. [`StorageError::Io`] and [`StorageError::Corrupt`] when the disk or what is on it is at fault.
    pub fn open(path: &Path, node_id: NodeId, cluster_id: &str) -> Result<Self, StorageError> {
        let wanted = Meta { format_version: FORMAT_VERSION, node_id, cluster_id: cluster_id.to_owned() };
        wanted.check_writable()?;
        create_synced(path).map_err(|error| io_error("create", path, &error))?;
        let lock = lock(path)?;
        match Meta::read(path)? {
            Some(found) => found.check(&wanted, path)?,
            None => wanted.write_first(path)?,
        }
        // RocksDB would make it, but not sync the name: a power cut could take the whole database, with all that was synced in it.
        let database = path.join(DATABASE);
        let created = create_synced(&database).and_then(|()| sync_directory(path));
        created.map_err(|error| io_error("create", &database, &error))?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Notes, before the database is opened, that it has lost what was synced: opening it removes the traces. Survives a power cut.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn note_loss(&self) -> Result<(), StorageError> {
        let path = self.path.join(LOSS);
        File::create(&path).and_then(|file| file.sync_all()).map_err(|error| io_error("write", &path, &error))?;
        sync_directory(&self.path).map_err(|error| io_error("sync", &self.path, &error))
    }

    /// Whether a loss was noted, and not [acted upon](Self::forget_loss) yet.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn has_loss(&self) -> Result<bool, StorageError> {
        let path = self.path.join(LOSS);
        path.try_exists().map_err(|error| io_error("look for", &path, &error))
    }

    /// What was noted has been acted upon.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn forget_loss(&self) -> Result<(), StorageError> {
        let path = self.path.join(LOSS);
        fs::remove_file(&path).map_err(|error| io_error("remove", &path, &error))?;
        sync_directory(&self.path).map_err(|error| io_error("sync", &self.path, &error))
    }

    /// Where the database is, for [`RocksEngine::open`](crate::RocksEngine::open).
    pub fn database_path(&self) -> PathBuf {
        self.path.join(DATABASE)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Meta {
    format_version: u32,
    node_id: NodeId,
    cluster_id: String,
}

impl Meta {
    fn read(directory: &Path) -> Result<Option<Self>, StorageError> {
        let path = directory.join(META);
        let mut text = String::new();
        match File::open(&path).and_then(|file| file.take(META_MAX_BYTES).read_to_string(&mut text)) {
            Ok(_) => Self::parse(&text, &path).map(Some),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) if error.kind() == ErrorKind::InvalidData => Err(damaged(&path, "it is not text")),
            Err(error) => Err(io_error("read", &path, &error)),
        }
    }

    fn parse(text: &str, path: &Path) -> Result<Self, StorageError> {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let entries: HashMap<&str, &str> =
            lines.filter_map(|line| line.split_once('=')).map(|(key, value)| (key.trim(), value.trim())).collect();
        let entry = |key| entries.get(key).copied().ok_or_else(|| damaged(path, &format!("it has no '{key}'")));
        let number = |key| entry(key)?.parse().map_err(|_| damaged(path, &format!("its '{key}' is not a number")));
        let format_version = number(KEY_FORMAT)?;
        if format_version > FORMAT_VERSION {
            return Err(StorageError::WrongDirectory(format!(
                "'{}' has format {format_version}, written by a newer release; this one knows formats up to \
                 {FORMAT_VERSION}: start the newer release, or use another data directory",
                path.parent().unwrap_or(path).display()
            )));
        }
        Ok(Self { format_version, node_id: NodeId(number(KEY_NODE)?), cluster_id: entry(KEY_CLUSTER)?.to_owned() })
    }

    fn check(&self, wanted: &Self, directory: &Path) -> Result<(), StorageError> {
        let directory = directory.display();
        if self.node_id != wanted.node_id {
            return Err(StorageError::WrongDirectory(format!(
                "'{directory}' belongs to node {}, but this node's id is {}: correct 'node.id' or the data directory",
                self.node_id, wanted.node_id
            )));
        }
        if self.cluster_id != wanted.cluster_id {
            return Err(StorageError::WrongDirectory(format!(
                "'{directory}' belongs to cluster '{}', but this node's cluster is '{}': correct the cluster id or the data \
                 directory",
                self.cluster_id, wanted.cluster_id
            )));
        }
        Ok(())
    }

    fn check_writable(&self) -> Result<(), StorageError> {
        let id = &self.cluster_id;
        if id.is_empty() || id.len() > CLUSTER_ID_MAX_LEN || !id.chars().all(|c| c.is_ascii_graphic()) {
            return Err(StorageError::WrongDirectory(format!(
                "the cluster id '{}' must have 1 to {CLUSTER_ID_MAX_LEN} visible ASCII characters; choose another",
                id.escape_debug()
            )));
        }
        Ok(())
    }

    /// Claims a directory that nobody has claimed.
    fn write_first(&self, directory: &Path) -> Result<(), StorageError> {
        let database = directory.join(DATABASE);
        if database.try_exists().map_err(|error| io_error("look for", &database, &error))? {
            return Err(StorageError::WrongDirectory(format!(
                "'{0}' holds a database but no '{META}', so nobody can tell whose it is: restore '{META}', or use another \
                 data directory",
                directory.display()
            )));
        }
        self.write(directory).map_err(|error| io_error("write", &directory.join(META), &error))
    }

    /// Whole or not at all, also when the power fails.
    fn write(&self, directory: &Path) -> io::Result<()> {
        let Self { format_version, node_id, cluster_id } = self;
        let text = format!(
            "# Whose data this is. Written once; do not edit.\n\
             {KEY_FORMAT}={format_version}\n{KEY_NODE}={node_id}\n{KEY_CLUSTER}={cluster_id}\n"
        );
        let unfinished = directory.join(META_UNFINISHED);
        let mut file = File::create(&unfinished)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&unfinished, directory.join(META))?;
        sync_directory(directory)
    }
}

fn lock(directory: &Path) -> Result<File, StorageError> {
    let path = directory.join(LOCK);
    let file = File::options().create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(|error| io_error("open", &path, &error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StorageError::WrongDirectory(format!(
            "'{}' is in use by another process: stop that one, or use another data directory",
            directory.display()
        ))),
        Err(TryLockError::Error(error)) => Err(io_error("lock", &path, &error)),
    }
}

/// Creates `directory` and those above it so that they survive a power cut.
fn create_synced(directory: &Path) -> io::Result<()> {
    if directory.is_dir() {
        return Ok(());
    }
    let parent = match directory.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    if parent != directory {
        create_synced(parent)?;
    }
    match fs::create_dir(directory) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists && directory.is_dir() => {}
        other => other?,
    }
    sync_directory(parent)
}

fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

fn io_error(verb: &str, path: &Path, error: &io::Error) -> StorageError {
    StorageError::Io(format!("cannot {verb} '{}': {error}", path.display()))
}

fn damaged(path: &Path, what: &str) -> StorageError {
    StorageError::Corrupt(format!("'{}': {what}; restore the file, or use another data directory", path.display()))
}

const META: &str = "meta.properties";
const META_UNFINISHED: &str = "meta.properties.unfinished";
const LOCK: &str = "lock";
/// There while the database has lost what was synced, and nobody has been told.
const LOSS: &str = "loss";
const DATABASE: &str = "db";
const KEY_FORMAT: &str = "format.version";
const KEY_NODE: &str = "node.id";
const KEY_CLUSTER: &str = "cluster.id";
const META_MAX_BYTES: u64 = 64 << 10;
const CLUSTER_ID_MAX_LEN: usize = 255;

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    const NODE: NodeId = NodeId(1);

    fn open(directory: &TempDir, node_id: u32, cluster_id: &str) -> Result<DataDirectory, StorageError> {
        DataDirectory::open(&directory.path().join("a/data"), NodeId(node_id), cluster_id)
    }

    fn meta_path(directory: &TempDir) -> PathBuf {
        directory.path().join("a/data").join(META)
    }

    fn refusal(result: Result<DataDirectory, StorageError>) -> String {
        match result {
            Err(StorageError::WrongDirectory(text)) => text,
            other => panic!("expected a refusal, got {other:?}"),
        }
    }

    #[test]
    fn a_loss_is_remembered_until_it_is_dealt_with() {
        let parent = TempDir::new().unwrap();
        let directory = open(&parent, 1, "compras").unwrap();
        assert!(!directory.has_loss().unwrap());
        directory.note_loss().unwrap();
        directory.note_loss().unwrap();
        drop(directory);
        let directory = open(&parent, 1, "compras").unwrap();
        assert!(directory.has_loss().unwrap());
        directory.forget_loss().unwrap();
        assert!(!directory.has_loss().unwrap());
    }

    #[test]
    fn a_node_finds_its_directory_again() {
        let parent = TempDir::new().unwrap();
        let first = open(&parent, 1, "compras").unwrap();
        assert!(first.database_path().starts_with(first.path()));
        assert!(first.database_path().is_dir(), "it is made, and its name synced, before the database is");
        drop(first);
        open(&parent, 1, "compras").unwrap();
        let text = fs::read_to_string(meta_path(&parent)).unwrap();
        assert_eq!(
            text,
            "# Whose data this is. Written once; do not edit.\nformat.version=1\nnode.id=1\ncluster.id=compras\n"
        );
    }

    #[test]
    fn foreign_directories_are_refused_and_left_alone() {
        let parent = TempDir::new().unwrap();
        open(&parent, 1, "compras").unwrap();
        let before = fs::read(meta_path(&parent)).unwrap();
        assert!(refusal(open(&parent, 2, "compras")).contains("belongs to node 1, but this node's id is 2"));
        assert!(refusal(open(&parent, 1, "vendas")).contains("belongs to cluster 'compras'"));
        assert_eq!(fs::read(meta_path(&parent)).unwrap(), before);
    }

    #[test]
    fn a_newer_format_is_refused_even_if_the_rest_has_changed() {
        let parent = TempDir::new().unwrap();
        open(&parent, 1, "compras").unwrap();
        fs::write(meta_path(&parent), "format.version=2\nnode.uuid=x\n").unwrap();
        assert!(refusal(open(&parent, 1, "compras")).contains("has format 2, written by a newer release"));
    }

    #[test]
    fn a_directory_in_use_is_refused_until_it_is_free() {
        let parent = TempDir::new().unwrap();
        let first = open(&parent, 1, "compras").unwrap();
        assert!(refusal(open(&parent, 1, "compras")).contains("in use by another process"));
        drop(first);
        open(&parent, 1, "compras").unwrap();
    }

    #[test]
    fn a_database_without_an_owner_is_refused() {
        let parent = TempDir::new().unwrap();
        drop(open(&parent, 1, "compras").unwrap());
        fs::remove_file(meta_path(&parent)).unwrap();
        assert!(refusal(open(&parent, 1, "compras")).contains("restore 'meta.properties'"));
    }

    #[test]
    fn a_crash_while_claiming_leaves_nothing_in_the_way() {
        let parent = TempDir::new().unwrap();
        fs::create_dir_all(parent.path().join("a/data")).unwrap();
        fs::write(parent.path().join("a/data").join(META_UNFINISHED), "format.ver").unwrap();
        open(&parent, 1, "compras").unwrap();
        open(&parent, 1, "compras").unwrap();
    }

    #[test]
    fn damaged_files_are_reported_as_such() {
        let parent = TempDir::new().unwrap();
        open(&parent, 1, "compras").unwrap();
        let damaged: [&[u8]; 5] =
            [b"", b"format.version=x", b"format.version=1\nnode.id=-1", b"format.version=1\nnode.id=1", b"\xff\xfe"];
        for text in damaged {
            fs::write(meta_path(&parent), text).unwrap();
            let result = open(&parent, 1, "compras");
            assert!(matches!(result, Err(StorageError::Corrupt(_))), "{text:?}: {result:?}");
        }
    }

    #[test]
    fn unusable_cluster_ids_and_paths_are_refused() {
        let parent = TempDir::new().unwrap();
        for id in ["", "a b", "a\nnode.id=2", "não", &"x".repeat(256)] {
            assert!(refusal(open(&parent, 1, id)).contains("choose another"), "{id:?}");
        }
        let file = parent.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(matches!(DataDirectory::open(&file, NODE, "compras"), Err(StorageError::Io(_))));
    }
}
