from fetcher.verify import Check

from .words import GREETING


class Packaged:
    type = "packaged"
    requires = ()

    def validate_options(self, options):
        return []

    def run(self, request, context):
        assert Check(GREETING, True).ok
        context.check(GREETING, True)


PROBE = Packaged()
