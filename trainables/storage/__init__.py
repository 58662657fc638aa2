"""Storage in a bucket (s3://, gs://): the client, and the local mirror that everything else works on."""
