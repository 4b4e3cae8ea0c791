"""Make the virtual environment that is named, or say in one line what this Python lacks for it.

Any Python reads this file, old ones too, and says by itself that it is too old.
"""

import os
import shutil
import subprocess
import sys

OLDEST = (3, 10)
NEWEST = 14  # the last minor version that is looked for by name


def newer():
    # type: () -> str
    """The name of a Python that can be used instead; a name alone may be a version manager's."""
    names = ["python3.%d" % minor for minor in range(NEWEST, OLDEST[1] - 1, -1)]
    return next((name for name in names if shutil.which(name) and works(name, "ensurepip")), "")


def works(python, module="pip"):
    # type: (str, str) -> bool
    code = "import sys, %s; sys.exit(sys.version_info < %r)" % (module, OLDEST)
    with open(os.devnull, "w") as nowhere:
        try:
            return subprocess.call([python, "-c", code], stdout=nowhere, stderr=nowhere) == 0
        except OSError:
            return False


def too_old():
    # type: () -> str
    said = "Python %d.%d is too old (%s): " % (sys.version_info[:2] + (sys.executable,))
    found = newer() if sys.version_info[0] > 2 else ""
    return said + (
        "run make with PYTHON=%s" % found
        if found
        else "install Python 3.10 or later, and run make with PYTHON=/path/to/it"
    )


def lacking():
    # type: () -> str
    """What is to be installed, where this Python cannot make environments."""
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError:
        version = "%d.%d" % sys.version_info[:2]
        said = "Python %s (%s) lacks venv or ensurepip: " % (version, sys.executable)
        if os.path.exists("/usr/bin/apt-get"):
            return said + "sudo apt-get install python%s-venv" % version
        return said + "install them, or run make with PYTHON=/path/to/another"
    return ""


def main(folder):
    # type: (str) -> int | str
    """What is handed to sys.exit: 0, a program's exit code, or what is to be said."""
    if sys.version_info < OLDEST:
        return too_old()
    python = os.path.join(folder, "bin", "python")
    if works(python):
        return 0
    said = lacking()
    if said:
        return said
    version = "%d.%d.%d" % sys.version_info[:3]
    sys.stdout.write("making the environment %s with Python %s\n" % (folder, version))
    sys.stdout.flush()
    return subprocess.call([sys.executable, "-m", "venv", "--clear", folder])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
