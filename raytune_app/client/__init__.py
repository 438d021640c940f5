"""raytune from Python: ten lines in a notebook or a script.

```
from raytune_app import Client

client = Client("s3://bucket/raytune", "http://127.0.0.1:8265")
study = client.submit("experiment.yaml", {"trials": 24})
client.watch(study)
print(study.wait().best())
study.figure("parallel").show()
model = client.load_model("mnist")
model.probabilities(pictures)
```
"""

from raytune_app.client.client import Client
from raytune_app.client.model import Model
from raytune_app.client.study import Study

__all__ = ["Client", "Model", "Study"]
