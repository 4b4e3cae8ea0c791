"""What a plan does about a file."""

KEEP = "keep"  # there, and right
PLACE = "place"  # in the store, or elsewhere in the tree: only to be placed
GET = "get"  # to be downloaded, then placed
CONFLICT = "conflict"  # something else stands there
BLOCKED = "blocked"  # cannot be placed at all
WITHHELD = "withheld"  # to be downloaded, but no disk has room or the repository does not let us
UNVERIFIED = "unverified"  # there, but nobody has read it (quick plans only)
