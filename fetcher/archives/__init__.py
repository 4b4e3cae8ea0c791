"""Archives read as data: every wanted member by a safe path, as a stream."""
