"""What both interpreters read: requests, answers, options, exhibits."""
