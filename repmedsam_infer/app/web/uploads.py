"""Files that the page sends: written to a folder of ours under names that can do no harm, then listed as an image."""

import secrets
import shutil
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from repmedsam_infer.errors import UsageError
from repmedsam_infer.formats.endings import ending_of

LARGEST = 2 << 30  # bytes of one image, all its files together
MOST_FILES = 5000  # of a DICOM series
MOST_AT_ONCE = 4  # uploads that are going on
LONGEST_NAME = 120
LEAST_FREE = 1 << 30  # bytes that are left free on the disk


@dataclass
class Upload:
    """One image that is being sent."""

    folder: Path
    bytes: int = 0
    files: int = 0


class TooLargeError(UsageError):
    """An upload goes beyond its limit."""


class Uploads:
    """All that are going on."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.going_on: dict[str, Upload] = {}
        self.lock = threading.Lock()

    def begin(self) -> str:
        """Begin one; returns its id. Raises UsageError where too many are going on."""
        with self.lock:
            while len(self.going_on) >= MOST_AT_ONCE:
                self.drop(next(iter(self.going_on)))  # the oldest: a page that was closed never ends its own
            key = secrets.token_urlsafe(9)
            part = self.folder / f".{key}"
            part.mkdir(parents=True)
            self.going_on[key] = Upload(part)
            return key

    async def receive(self, key: str, name: str, body: AsyncIterator[bytes]) -> None:
        """Write one file of an upload.

        Raises:
            UsageError: there is no such upload, or too many files.
            TooLargeError: it is larger than may be.

        """
        upload = self.find(key)
        upload.files += 1
        if upload.files > MOST_FILES:
            raise UsageError(f"an image has at most {MOST_FILES} files")
        path = upload.folder / safe_name(name)
        if path.exists():
            path = upload.folder / f"{upload.files}_{path.name}"
        room = shutil.disk_usage(self.folder).free - LEAST_FREE
        try:
            with path.open("xb") as file:
                async for chunk in body:
                    upload.bytes += len(chunk)
                    if upload.bytes > min(LARGEST, room):
                        raise TooLargeError(f"the image is larger than {min(LARGEST, max(room, 0)) / 2**30:.1f} GiB")
                    file.write(chunk)
        except OSError as error:
            raise UsageError(f"{path.name} could not be written ({error.strerror})") from error
        except BaseException:
            with self.lock:
                self.drop(key)
            raise

    def end(self, key: str) -> Path:
        """Return the image of a complete upload: its file, or the folder of its series.

        Raises:
            UsageError: there is no such upload, or nothing in it.

        """
        upload = self.find(key)
        with self.lock:
            self.going_on.pop(key, None)
        files = sorted(upload.folder.iterdir())
        if not files:
            shutil.rmtree(upload.folder, ignore_errors=True)
            raise UsageError("no file was sent")
        there = self.folder / key
        upload.folder.rename(there)
        heads = [there / file.name for file in files if ending_of(file) == ".mhd"]
        if len(files) == 1:
            return there / files[0].name
        if heads:
            return heads[0]
        series = there / "series"
        series.mkdir()
        for file in files:
            (there / file.name).rename(series / file.name)
        return series

    def find(self, key: str) -> Upload:
        upload = self.going_on.get(key)
        if upload is None:
            raise UsageError("there is no such upload")
        return upload

    def drop(self, key: str) -> None:
        upload = self.going_on.pop(key, None)
        if upload is not None:
            shutil.rmtree(upload.folder, ignore_errors=True)


def safe_name(name: str) -> str:
    """Return the last part of a name, of letters, digits and a few signs: one that stays in its folder."""
    last = name.replace("\\", "/").rpartition("/")[2]
    kept = "".join(c if c.isalnum() or c in "-_.() " else "_" for c in last if c.isprintable())
    ending = ending_of(Path(last))
    stem = (kept[: -len(ending)] if ending else kept).strip(" .")[:LONGEST_NAME]
    return f"{stem or 'image'}{ending}"
