// What the clients share: the picture, the tool, and how the answers are printed as one JSON line.
export const picture =
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNgYPgPAAEDAQAIicLsAAAAAElFTkSuQmCC';
export const schema = {
  type: 'object',
  properties: { city: { type: 'string' } },
  required: ['city'],
  additionalProperties: false,
};
export const address = process.env.GATEWAY_URL;
export const origin = address.replace(/\/v1$/, '');
export const token = process.env.GATEWAY_TOKEN;

export const fails = async (act) => {
  try {
    return `no error but ${JSON.stringify(await act())}`;
  } catch (error) {
    return `${error.name ?? 'Error'}: ${error.message} ${error.responseBody ?? ''}`;
  }
};

// The model that the present feature is tried with; importers see it change.
export let model = 'mock/m';

// Each name is MODEL=FEATURE.
export const report = async (features, names) => {
  const told = {};
  for (const name of names) {
    const [chosen, feature] = name.split('=');
    model = chosen;
    try {
      told[name] = await features[feature]();
    } catch (error) {
      told[name] = `${error.name}: ${error.message} ${error.responseBody ?? ''}`;
    }
  }
  console.log(JSON.stringify(told));
};
