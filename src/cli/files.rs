//! Result files: all there in full, or none under its final name.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::exit::Exit;
use super::terminal;

/// A place for a file that was found to be writable before the run.
#[derive(Debug)]
pub(super) struct Place {
    directory: PathBuf,
    name: PathBuf,
    /// Whether the directory was not there before.
    new: bool,
}

impl Place {
    /// The file at a path. Its directory is created if absent.
    ///
    /// # Errors
    /// [`Exit::System`], told: nothing can be written there.
    pub(super) fn file(path: &Path) -> Result<Self, Exit> {
        // The file behind a link is replaced, not the link.
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let Some(name) = path.file_name().filter(|_| !path.is_dir()) else {
            return Err(failed(&path, &io::Error::other("it is a directory, not a file")));
        };
        if fs::metadata(&path).is_ok_and(|there| !there.is_file()) {
            return Err(failed(&path, &io::Error::other("it is not a regular file")));
        }
        let directory = directory_of(&path);
        let place = Self { new: !directory.exists(), directory, name: name.into() };
        place.try_out().map_err(|error| failed(&path, &error))?;
        Ok(place)
    }

    /// The same for a file of this name in a directory.
    ///
    /// # Errors
    /// As above.
    pub(super) fn inside(directory: &Path, name: &str) -> Result<Self, Exit> {
        let place = Self { directory: directory.to_owned(), name: name.into(), new: !directory.exists() };
        place.try_out().map_err(|error| failed(directory, &error))?;
        Ok(place)
    }

    /// The same directory with another name.
    pub(super) fn beside(&self, name: &str) -> Self {
        Self { directory: self.directory.clone(), name: name.into(), new: self.new }
    }

    /// Nothing will be written after all: a directory that was made for it goes away.
    pub(super) fn leave(&self) {
        if self.new {
            // One that holds something is left alone.
            let _ = fs::remove_dir(&self.directory);
        }
    }

    /// Creates the directory, and a file in it that goes away again.
    fn try_out(&self) -> io::Result<()> {
        if fs::metadata(&self.directory).is_ok_and(|there| !there.is_dir()) {
            return Err(io::Error::other("it is a file, not a directory"));
        }
        fs::create_dir_all(&self.directory)?;
        let final_path = self.path();
        if final_path.is_dir() {
            return Err(io::Error::other(format!("{} is a directory", final_path.display())));
        }
        temporary(&self.directory).map(drop)
    }

    fn path(&self) -> PathBuf {
        self.directory.join(&self.name)
    }

    /// Writes the content under a temporary name in the same directory, down to the disk.
    ///
    /// # Errors
    /// [`Exit::System`], told; nothing is left behind.
    pub(super) fn prepare(self, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<Prepared, Exit> {
        let prepared = temporary(&self.directory).and_then(|mut file| {
            let mut buffered = BufWriter::new(file.as_file_mut());
            write(&mut buffered)?;
            buffered.flush()?;
            drop(buffered);
            file.as_file().sync_all()?;
            Ok(file)
        });
        match prepared {
            Ok(file) => Ok(Prepared { file, place: self }),
            Err(error) => Err(failed(&self.path(), &error)),
        }
    }
}

/// A file that is complete and waits for its name.
#[derive(Debug)]
pub(super) struct Prepared {
    file: NamedTempFile,
    place: Place,
}

impl Prepared {
    /// Gives the file its name; what had it before is replaced.
    ///
    /// # Errors
    /// [`Exit::System`], told.
    pub(super) fn publish(self) -> Result<(), Exit> {
        let path = self.place.path();
        self.file.persist(&path).map_err(|error| failed(&path, &error.error))?;
        // The name is on the disk too, where the system can say so.
        let _ = File::open(&self.place.directory).and_then(|directory| directory.sync_all());
        Ok(())
    }

    /// Gives the file its name unless something has it already.
    ///
    /// # Errors
    /// [`Exit::Input`] where something has it, else [`Exit::System`], told.
    pub(super) fn publish_new(self) -> Result<(), Exit> {
        let path = self.place.path();
        match self.file.persist_noclobber(&path) {
            Ok(_) => Ok(()),
            Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => {
                terminal::error(&format!("{} exists already and is left alone", path.display()));
                Err(Exit::Input)
            }
            Err(error) => Err(failed(&path, &error.error)),
        }
    }
}

/// The directory of a path; `.` where there is none.
fn directory_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// A temporary file with the permissions of any other new file.
fn temporary(directory: &Path) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".edasim-");
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(directory)
}

fn failed(path: &Path, error: &io::Error) -> Exit {
    let text = error.to_string();
    // Errors of temporary files name their random paths.
    let text = text.split(" at path ").next().unwrap_or_default();
    let text = text.split(" (os error").next().unwrap_or_default();
    terminal::error(&format!("cannot write {}: {text}", path.display()));
    Exit::System
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_appears_complete_or_not_at_all() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("new/result.json");
        let place = Place::file(&path).unwrap();
        let broken = place.beside("result.json").prepare(|to| {
            to.write_all(b"half")?;
            Err(io::Error::other("disk full"))
        });
        assert_eq!(broken.err(), Some(Exit::System));
        assert_eq!(fs::read_dir(directory.path().join("new")).unwrap().count(), 0);
        place.prepare(|to| to.write_all(b"whole")).unwrap().publish().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"whole");
    }

    #[test]
    fn an_existing_file_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("mine.yaml");
        fs::write(&path, "mine").unwrap();
        let prepared = Place::file(&path).unwrap().prepare(|to| to.write_all(b"ours")).unwrap();
        assert_eq!(prepared.publish_new(), Err(Exit::Input));
        assert_eq!(fs::read(&path).unwrap(), b"mine");
    }

    #[test]
    fn a_directory_that_was_made_in_vain_goes_away() {
        let directory = tempfile::tempdir().unwrap();
        let out = directory.path().join("out");
        Place::inside(&out, "result.json").unwrap().leave();
        assert!(!out.exists());
        fs::create_dir(&out).unwrap();
        Place::inside(&out, "result.json").unwrap().leave();
        assert!(out.exists());
    }

    #[test]
    fn a_directory_is_no_file() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(Place::file(directory.path()).err(), Some(Exit::System));
        fs::write(directory.path().join("file"), "").unwrap();
        assert_eq!(Place::inside(&directory.path().join("file"), "result.json").err(), Some(Exit::System));
    }
}
