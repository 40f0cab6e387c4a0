# The launcher of the Flex template: builds the pipeline of predict.py and hands it in.
#   docker build -f deploy/dataflow/launcher.Dockerfile -t REGION-docker.pkg.dev/PROJECT/realear/launcher:0.1.0 .
#   gcloud dataflow flex-template build gs://BUCKET/realear-predict.json --sdk-language PYTHON \
#     --image REGION-docker.pkg.dev/PROJECT/realear/launcher:0.1.0 --metadata-file deploy/dataflow/template.json
FROM gcr.io/dataflow-templates-base/python311-template-launcher-base

COPY . /opt/realear
RUN pip install --no-cache-dir -c /opt/realear/constraints.txt /opt/realear 'apache-beam[gcp]==2.77.0'

ENV FLEX_TEMPLATE_PYTHON_PY_FILE=/opt/realear/deploy/dataflow/predict.py \
    FLEX_TEMPLATE_PYTHON_SETUP_FILE=/opt/realear/setup.py \
    PYTHONSAFEPATH=1
