"""Makes every file of models/ importable as `vtrial.models.NAME`, in a checkout and in a wheel."""

from vtrial._resources import directory

__path__ = [str(directory("models"))]
